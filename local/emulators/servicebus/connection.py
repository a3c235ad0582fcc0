"""One client's connection: handshake, sessions, and the limits that keep it from harming others."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from enum import Enum, auto
from typing import TYPE_CHECKING, cast

from local.emulators.servicebus.amqp.frames import (
    AMQP_HEADER,
    SASL_HEADER,
    SASL_TYPE,
    Frame,
    FrameReader,
    to_frame,
)
from local.emulators.servicebus.amqp.outcomes import error
from local.emulators.servicebus.amqp.performatives import (
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    End,
    Flow,
    Open,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    Transfer,
)
from local.emulators.servicebus.amqp.values import Array, CodecError, Symbol, UByte, UInt, UShort
from local.emulators.servicebus.failures import AmqpFailure, ConnectionFailure, SessionFailure
from local.emulators.servicebus.session import Session
from local.emulators.servicebus.websocket import OPENING, WebSocketTransport

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from local.emulators.servicebus.amqp.performatives import Performative
    from local.emulators.servicebus.namespace import Namespace

_LOG = logging.getLogger(__name__)

_ANONYMOUS, _PLAIN = Symbol("ANONYMOUS"), Symbol("PLAIN")
_MAX_FRAME = 65_536
_MIN_FRAME = 512  # the smallest that AMQP permits
_CHANNEL_MAX = 255
_FRAMES_PER_TURN = 200  # then the others have their turn
_OUTPUT_LIMIT = 1_048_576  # bytes that may wait for the client to read them
_PARTIAL_LIMIT = 8_388_608  # bytes of unfinished messages over all links
_HANDSHAKE_SECONDS = 10.0
_GOODBYE_SECONDS = 2.0
_MIN_HEARTBEAT_SECONDS = 0.5
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class _Phase(Enum):
    HEADER = auto()
    SASL = auto()
    AMQP_HEADER = auto()
    AMQP = auto()
    CLOSED = auto()


class Connection(asyncio.Protocol):
    """The server's end of an AMQP connection."""

    max_frame_size = _MIN_FRAME

    def __init__(self, namespace: Namespace, connections: set[Connection]) -> None:
        self.namespace = namespace
        self._connections = connections
        self._phase = _Phase.HEADER
        self._opened = False
        self._reader = FrameReader(_MAX_FRAME)
        self._sessions: dict[int, Session] = {}
        self._output = bytearray()
        self._flush_soon: asyncio.Handle | None = None
        self._turn_soon: asyncio.Handle | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self._heartbeat: asyncio.TimerHandle | None = None
        self._paused = False
        self._held = 0

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless a fault says otherwise."""
        socket_transport = cast("asyncio.Transport", transport)
        self._transport: asyncio.Transport | WebSocketTransport = socket_transport
        self._loop = asyncio.get_running_loop()
        self._connections.add(self)
        socket_transport.set_write_buffer_limits(high=_OUTPUT_LIMIT)
        if self.namespace.faults.refuse_connections:
            self.reset()
            return
        self._goodbye = self._loop.call_later(_HANDSHAKE_SECONDS, self._transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop everything; locks that are held run on until they expire."""
        del exc
        self._phase = _Phase.CLOSED
        self._connections.discard(self)
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        handles = (
            self._flush_soon,
            self._turn_soon,
            self._heartbeat,
            getattr(self, "_goodbye", None),
            *self._timers,
        )
        for handle in handles:
            if handle is not None:
                handle.cancel()
        self._timers.clear()

    def data_received(self, data: bytes) -> None:
        """Act on what the client sent."""
        if self._phase is _Phase.HEADER and data.startswith(OPENING) and isinstance(self._transport, asyncio.Transport):
            self._transport = WebSocketTransport(self._transport)
        if self._phase is not _Phase.CLOSED:
            self._guarded(lambda: self._feed(data))
            self._turn()

    def pause_writing(self) -> None:
        """Neither send to a client that does not read, nor listen to it."""
        self._paused = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self._paused = False
        for session in list(self._sessions.values()):
            session.wake()
        self._turn()

    # What sessions and the broker call

    @property
    def writable(self) -> bool:
        """Whether the client keeps up with reading."""
        return not self._paused and len(self._output) < _OUTPUT_LIMIT

    def send(self, performative: Performative, channel: int = 0, payload: bytes = b"") -> None:
        """Send a frame with this turn's output."""
        if self._phase is not _Phase.CLOSED:
            self._write(to_frame(performative, channel, payload))

    def reply(self, node: str, reply_to: object, payload: bytes) -> None:
        """Answer a request on the link that the client attached to `node` for it, if there is one."""
        links = [link for session in self._sessions.values() for link in session.reply_links() if link.node == node]
        named = [link for link in links if link.target == reply_to]
        for link in (named or links)[-1:]:
            link.reply(payload)

    def hold(self, size: int) -> None:
        """Count the bytes of unfinished messages.

        Raises:
            ConnectionFailure: the client leaves too many messages unfinished.
        """
        self._held += size
        if self._held > _PARTIAL_LIMIT:
            raise ConnectionFailure("amqp:resource-limit-exceeded", "Too much data in unfinished messages.")

    def later(self, delay: timedelta, call: Callable[[], None], *, survives: bool = False) -> None:
        """Call after `delay`; not at all if the connection ends before, unless the call `survives` that."""

        def run() -> None:
            self._timers.discard(timer)
            self._guarded(call)

        timer = self._loop.call_later(delay.total_seconds(), run)
        if not survives:
            self._timers.add(timer)

    def reset(self) -> None:
        """End without a word, as a broken network does."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    def close(self, failure: AmqpFailure | None = None) -> None:
        """Say goodbye, with the reason if the client is at fault, and end soon even if it does not read."""
        if self._phase is _Phase.CLOSED:
            return
        if self._phase is _Phase.AMQP:
            self.send(Close(error(failure.condition, failure.description) if failure else None))
        self._phase = _Phase.CLOSED
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        self._flush()
        self._goodbye.cancel()
        if self._transport.is_closing():
            return
        try:
            # Hanging up on unread data would reset the connection, and the client might never see the reason.
            self._transport.write_eof()
            self._transport.resume_reading()
        except OSError:  # the client has hung up already
            self._transport.abort()
        else:
            self._goodbye = self._loop.call_later(_GOODBYE_SECONDS, self._transport.abort)

    # The inside

    def _feed(self, data: bytes) -> None:
        if isinstance(self._transport, WebSocketTransport):
            data = self._transport.received(data)
        self._reader.feed(data)

    def _turn(self) -> None:
        """Act on the frames so far, up to a turn's worth."""
        self._turn_soon = None
        if not self._paused:
            self._guarded(self._read)
        if self._phase is _Phase.CLOSED or self._transport.is_closing():
            return
        if self._paused or self._turn_soon is not None:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _guarded(self, call: Callable[[], None]) -> None:
        """Turn whatever goes wrong into the end of this connection, and of nothing else."""
        try:
            call()
        except CodecError as malformed:
            self.close(ConnectionFailure("amqp:decode-error", str(malformed)))
        except AmqpFailure as failure:
            self.close(failure)
        except Exception:  # noqa: BLE001 - one client's frame must never stop the others
            _LOG.exception("The broker failed on a client's frame; only this connection ends.")
            self.close(ConnectionFailure("amqp:internal-error", "The broker failed on this frame."))

    def _read(self) -> None:
        for _ in range(_FRAMES_PER_TURN):
            if not self._step():
                return
            if not self.writable:
                break
        self._turn_soon = self._loop.call_soon(self._turn)

    def _step(self) -> bool:
        """Act on the next header or frame; False if there is none yet, or none any more."""
        match self._phase:
            case _Phase.HEADER | _Phase.AMQP_HEADER:
                header = self._reader.header()
                if header is not None:
                    self._on_header(header)
                return header is not None
            case _Phase.SASL | _Phase.AMQP:
                frame = self._reader.frame()
                if frame is None:
                    return False
                if self._phase is _Phase.SASL:
                    self._on_sasl(frame)
                else:
                    self._on_frame(frame)
                return True
            case _Phase.CLOSED:
                return False

    def _on_header(self, header: bytes) -> None:
        if header == AMQP_HEADER:
            self._phase = _Phase.AMQP
            self._write(AMQP_HEADER)
        elif header == SASL_HEADER and self._phase is _Phase.HEADER:
            self._phase = _Phase.SASL
            self._write(SASL_HEADER)
            self._write(to_frame(SaslMechanisms(Array([_ANONYMOUS, _PLAIN])), kind=SASL_TYPE))
        else:
            # The protocol's way to refuse a version is to name the supported one and to hang up.
            self._write(AMQP_HEADER)
            self._phase = _Phase.HEADER
            self.close()

    def _on_sasl(self, frame: Frame) -> None:
        init = frame.performative
        if not isinstance(init, SaslInit) or frame.kind != SASL_TYPE:
            raise ConnectionFailure("amqp:not-allowed", "A SASL init was expected.")
        welcome = init.mechanism == _ANONYMOUS or (init.mechanism == _PLAIN and _names_a_policy(init.initial_response))
        self._write(to_frame(SaslOutcome(UByte(0 if welcome else 1)), kind=SASL_TYPE))
        self._phase = _Phase.AMQP_HEADER
        if not welcome:
            self.close()

    def _on_frame(self, frame: Frame) -> None:
        performative = frame.performative
        if performative is None:
            return
        if isinstance(performative, SaslMechanisms | SaslInit | SaslOutcome):
            raise ConnectionFailure("amqp:not-allowed", "SASL is over.")
        if isinstance(performative, Open):
            self._on_open(performative)
        elif not self._opened:
            raise ConnectionFailure("amqp:not-allowed", "The first frame must be an open.")
        elif isinstance(performative, Close):
            self.close()
        elif isinstance(performative, Begin):
            self._on_begin(frame.channel, performative)
        else:
            self._on_session_frame(frame.channel, performative, frame.payload)

    def _on_session_frame(
        self,
        channel: int,
        performative: Attach | Flow | Transfer | Disposition | Detach | End,
        payload: bytes,
    ) -> None:
        session = self._sessions.get(channel)
        if session is None:
            return  # a client may go on for a while on a channel whose session has ended
        if isinstance(performative, End):
            del self._sessions[channel]
            session.end()
            return
        try:
            session.on_frame(performative, payload)
        except SessionFailure as failure:
            del self._sessions[channel]
            session.end(failure)

    def _on_open(self, frame: Open) -> None:
        if self._opened:
            raise ConnectionFailure("amqp:not-allowed", "The connection is open already.")
        self._opened = True
        self._goodbye.cancel()
        wanted = int(frame.max_frame_size) if frame.max_frame_size is not None else _MAX_FRAME
        self.max_frame_size = max(_MIN_FRAME, min(wanted, _MAX_FRAME))
        self.send(Open("local-servicebus", max_frame_size=UInt(_MAX_FRAME), channel_max=UShort(_CHANNEL_MAX)))
        if frame.idle_time_out:
            self._beat(max(frame.idle_time_out / 2000, _MIN_HEARTBEAT_SECONDS))

    def _on_begin(self, channel: int, frame: Begin) -> None:
        if channel > _CHANNEL_MAX or channel in self._sessions:
            raise ConnectionFailure("amqp:not-allowed", f"Channel {channel} is in use or above {_CHANNEL_MAX}.")
        self._sessions[channel] = Session(self, channel, frame)

    def _beat(self, seconds: float) -> None:
        if self._heartbeat is not None:
            self._write(to_frame(None))
        self._heartbeat = self._loop.call_later(seconds, self._beat, seconds)

    def _write(self, data: bytes) -> None:
        self._output += data
        if self._flush_soon is None:
            self._flush_soon = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_soon = None
        was_full = len(self._output) >= _OUTPUT_LIMIT
        if self._output and not self._transport.is_closing():
            self._transport.write(bytes(self._output))
        self._output.clear()
        if was_full and not self._paused:
            # The socket took everything at once: no resume_writing will follow to wake the links that wait for room.
            for session in list(self._sessions.values()):
                session.wake()


def _names_a_policy(response: bytes | None) -> bool:
    """Whether a PLAIN response holds a name and a key; any will do, as any token does at `$cbs`."""
    parts = (response or b"").split(b"\x00")
    return len(parts) == len(("authorization", "name", "key")) and all(parts[1:])
