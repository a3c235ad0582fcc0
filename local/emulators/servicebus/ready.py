"""The messages of a queue that can be received now, lowest sequence number first, each in its session's line."""

import heapq
from collections.abc import Container


class Ready:
    """One heap per session; a queue without sessions has one line, None.

    A number that has left `alive` (its message expired) is skipped when the line comes to it.
    """

    def __init__(self, alive: Container[int]) -> None:
        self._alive = alive
        self._lines: dict[str | None, list[int]] = {}

    def __len__(self) -> int:
        """How many messages are in line."""
        return len({number for line in self._lines.values() for number in line if number in self._alive})

    def add(self, number: int, session_id: str | None) -> None:
        """Put a message into its session's line."""
        heapq.heappush(self._lines.setdefault(session_id, []), number)

    def first(self, session_id: str | None) -> int | None:
        """The lowest number of the line; None if the line is empty."""
        line = self._lines.get(session_id, [])
        while line and line[0] not in self._alive:
            heapq.heappop(line)
        if not line:
            self._lines.pop(session_id, None)
        return line[0] if line else None

    def take(self, session_id: str | None) -> int | None:
        """Remove the lowest number of the line and return it; None if the line is empty."""
        number = self.first(session_id)
        if number is not None:
            heapq.heappop(self._lines[session_id])
        return number

    def session_ids(self) -> list[str]:
        """The sessions with a message in line, the one with the oldest message first."""
        firsts = {session_id: self.first(session_id) for session_id in list(self._lines)}
        waiting = [(number, session_id) for session_id, number in firsts.items() if number is not None]
        return [session_id for _, session_id in sorted(waiting) if session_id is not None]
