"""What a connection has to say in a turn of the event loop, written at its end in one piece."""

import asyncio
from collections.abc import Callable

from local.emulators.servicebus.websocket import WebSocketTransport

_LIMIT = 1_048_576  # bytes that may wait for the client to read them


class Output:
    """Collects bytes for a transport.

    Attributes:
        transport: where the bytes go.
        paused: whether the transport has enough that the client has not read.
    """

    def __init__(self, transport: asyncio.Transport, on_room: Callable[[], None]) -> None:
        """Collect for `transport`; `on_room` is called when there is room again that nobody else tells of."""
        transport.set_write_buffer_limits(high=_LIMIT)
        self.transport: asyncio.Transport | WebSocketTransport = transport
        self.paused = False
        self._on_room = on_room
        self._bytes = bytearray()
        self._flush_soon: asyncio.Handle | None = None

    def __len__(self) -> int:
        """How many bytes this turn has."""
        return len(self._bytes)

    @property
    def has_room(self) -> bool:
        """Whether the client keeps up with reading."""
        return not self.paused and len(self) < _LIMIT

    def write(self, data: bytes) -> None:
        """Append to this turn's bytes."""
        self._bytes += data
        if self._flush_soon is None:
            self._flush_soon = asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Hand the bytes over."""
        self._flush_soon = None
        was_full = len(self) >= _LIMIT
        if self._bytes and not self.transport.is_closing():
            self.transport.write(bytes(self._bytes))
        self._bytes.clear()
        if was_full and not self.paused:
            # The socket took everything at once: no `resume_writing` will follow to wake those who wait for room.
            self._on_room()

    def stop(self) -> None:
        """Hand over nothing more."""
        if self._flush_soon is not None:
            self._flush_soon.cancel()
