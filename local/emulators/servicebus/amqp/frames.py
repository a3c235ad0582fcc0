"""Frames on the wire: an 8-byte header, a performative, a payload. Source: AMQP 1.0 part 2.3."""

import struct
from typing import NamedTuple

from local.emulators.servicebus.amqp.decode import decode
from local.emulators.servicebus.amqp.performatives import Performative, from_value, to_bytes
from local.emulators.servicebus.amqp.values import CodecError

AMQP_HEADER = b"AMQP\x00\x01\x00\x00"
SASL_HEADER = b"AMQP\x03\x01\x00\x00"
HEADER_BYTES = 8
AMQP_TYPE = 0
SASL_TYPE = 1

_HEADER = struct.Struct(">IBBH")
_MIN_OFFSET = 2  # the header itself, in words of 4 bytes
_SWEEP = 65_536


class Frame(NamedTuple):
    """A received frame; without a performative it only keeps the connection alive."""

    kind: int
    channel: int
    performative: Performative | None
    payload: bytes


def to_frame(performative: Performative | None, channel: int = 0, payload: bytes = b"", kind: int = AMQP_TYPE) -> bytes:
    """The bytes of a frame; without a performative an empty one, which keeps a connection alive."""
    body = to_bytes(performative) if performative is not None else b""
    return _HEADER.pack(HEADER_BYTES + len(body) + len(payload), _MIN_OFFSET, kind, channel) + body + payload


class FrameReader:
    """Cuts a stream of bytes into protocol headers and frames; holds what was fed and not yet read."""

    def __init__(self, max_frame_size: int) -> None:
        self._max_frame_size = max_frame_size
        self._buffer = bytearray()
        self._position = 0

    def feed(self, data: bytes) -> None:
        """Append what the peer sent."""
        if self._position > _SWEEP:
            del self._buffer[: self._position]
            self._position = 0
        self._buffer += data

    def header(self) -> bytes | None:
        """The next 8 bytes as a protocol header; None until they are there."""
        return self._cut(HEADER_BYTES)

    def frame(self) -> Frame | None:
        """The next frame; None until it is complete.

        Raises:
            CodecError: a frame is malformed, or larger than permitted; the stream cannot be read any further.
        """
        if len(self._buffer) - self._position < HEADER_BYTES:
            return None
        size, offset, kind, channel = _HEADER.unpack_from(self._buffer, self._position)
        start = 4 * offset
        if not HEADER_BYTES <= size <= self._max_frame_size or not HEADER_BYTES <= start <= size:
            raise CodecError(
                f"A frame of {size} bytes with its body at byte {start} is malformed or larger than "
                f"{self._max_frame_size} bytes."
            )
        if kind not in {AMQP_TYPE, SASL_TYPE}:
            raise CodecError(f"There is no frame type {kind}.")
        raw = self._cut(size)
        if raw is None:
            return None
        if start == size:
            return Frame(kind, channel, None, b"")
        value, end = decode(raw, start)
        return Frame(kind, channel, from_value(value), raw[end:])

    def _cut(self, size: int) -> bytes | None:
        end = self._position + size
        if end > len(self._buffer):
            return None
        raw = bytes(self._buffer[self._position : end])
        self._position = end
        if end == len(self._buffer):
            self._buffer.clear()
            self._position = 0
        return raw
