"""What comes before AMQP's own frames on a connection: protocol headers, and a log-in by SASL."""

from enum import Enum, auto
from typing import Final

from local.emulators.servicebus.amqp.frames import AMQP_HEADER, SASL_HEADER, SASL_TYPE, Frame, FrameReader, to_frame
from local.emulators.servicebus.amqp.performatives import SaslInit, SaslMechanisms, SaslOutcome
from local.emulators.servicebus.amqp.values import Array, Symbol, UByte
from local.emulators.servicebus.failures import ConnectionFailure

_ANONYMOUS, _PLAIN = Symbol("ANONYMOUS"), Symbol("PLAIN")
_OK: Final = 0
_AUTH: Final = 1  # the log-in failed


class Progress(Enum):
    """How far a handshake is."""

    UNDER_WAY = auto()
    DONE = auto()
    REFUSED = auto()


class _Awaited(Enum):
    FIRST_HEADER = auto()
    SASL_INIT = auto()
    AMQP_HEADER = auto()


class Handshake:
    """Reads a client's handshake: AMQP at once, or SASL by ANONYMOUS or PLAIN and then AMQP.

    Attributes:
        progress: whether AMQP's frames can follow, or the client must go.
    """

    def __init__(self, reader: FrameReader) -> None:
        self.progress = Progress.UNDER_WAY
        self._reader = reader
        self._awaited = _Awaited.FIRST_HEADER

    def step(self) -> bytes | None:
        """Read the next header or frame.

        Returns:
            What to send for it; None until it is there.

        Raises:
            CodecError: the bytes are malformed.
            ConnectionFailure: something else than a SASL init came.
        """
        if self._awaited is _Awaited.SASL_INIT:
            frame = self._reader.frame()
            return self._on_init(frame) if frame is not None else None
        header = self._reader.header()
        return self._on_header(header) if header is not None else None

    def _on_header(self, header: bytes) -> bytes:
        if header == AMQP_HEADER:
            self.progress = Progress.DONE
            return AMQP_HEADER
        if header == SASL_HEADER and self._awaited is _Awaited.FIRST_HEADER:
            self._awaited = _Awaited.SASL_INIT
            return SASL_HEADER + to_frame(SaslMechanisms(Array([_ANONYMOUS, _PLAIN])), kind=SASL_TYPE)
        # The protocol's way to refuse a version is to name the supported one and to hang up.
        self.progress = Progress.REFUSED
        return AMQP_HEADER

    def _on_init(self, frame: Frame) -> bytes:
        init = frame.performative
        if not isinstance(init, SaslInit) or frame.kind != SASL_TYPE:
            raise ConnectionFailure("amqp:not-allowed", "A SASL init was expected.")
        welcome = init.mechanism == _ANONYMOUS or (init.mechanism == _PLAIN and _names_a_policy(init.initial_response))
        self._awaited = _Awaited.AMQP_HEADER
        if not welcome:
            self.progress = Progress.REFUSED
        return to_frame(SaslOutcome(UByte(_OK if welcome else _AUTH)), kind=SASL_TYPE)


def _names_a_policy(response: bytes | None) -> bool:
    """Whether a PLAIN response holds a name and a key; any will do, as any token does at `$cbs`."""
    parts = (response or b"").split(b"\x00")
    return len(parts) == len(("authorization", "name", "key")) and all(parts[1:])
