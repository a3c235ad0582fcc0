"""The transfers of a session on their way to the client, as far as the client's window lets them through."""

from collections import deque
from collections.abc import Callable

from local.emulators.servicebus.amqp.performatives import Flow, Transfer

_MODULUS = 1 << 32


class OutgoingWindow:
    """Numbers transfers, and holds back those for which the client has no room.

    Attributes:
        next_id: the number of the next transfer.
    """

    def __init__(self, room: int, send: Callable[[Transfer, bytes], None]) -> None:
        self.next_id = 0
        self._room = room
        self._send = send
        self._waiting: deque[tuple[Transfer, bytes]] = deque()

    @property
    def closed(self) -> bool:
        """Whether the next transfer would have to wait."""
        return bool(self._waiting) or self._room <= 0

    @property
    def has_waiting(self) -> bool:
        """Whether transfers wait for room."""
        return bool(self._waiting)

    def update(self, flow: Flow) -> None:
        """Take the client's word for what it has seen and has room for."""
        seen = int(flow.next_incoming_id or 0)
        room = (seen + flow.incoming_window - self.next_id) % _MODULUS
        self._room = room if room < _MODULUS // 2 else 0

    def send(self, transfer: Transfer, payload: bytes, frame_bytes: int) -> None:
        """Send a message, or keep it until there is room, in parts of at most `frame_bytes`."""
        for start in range(0, max(len(payload), 1), frame_bytes):
            more = start + frame_bytes < len(payload)
            self._waiting.append((transfer._replace(more=more), payload[start : start + frame_bytes]))
        self.flush()

    def flush(self) -> None:
        """Send what waited, as far as there is room."""
        while self._waiting and self._room > 0:
            transfer, part = self._waiting.popleft()
            self.next_id = (self.next_id + 1) % _MODULUS
            self._room -= 1
            self._send(transfer, part)

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
