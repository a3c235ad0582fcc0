"""A set of keys, each due at an instant, that yields the earliest first."""

import heapq
from datetime import datetime

_SLACK = 64


class DueKeys[K: (int, str)]:
    """A heap with removal: removed keys are skipped when met, and swept out when they outnumber the rest."""

    def __init__(self) -> None:
        self._due: dict[K, datetime] = {}
        self._heap: list[tuple[datetime, K]] = []

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, key: K) -> bool:
        return key in self._due

    def add(self, key: K, due: datetime) -> None:
        """Set when `key` is due, instead of any earlier setting."""
        self._due[key] = due
        heapq.heappush(self._heap, (due, key))
        if len(self._heap) > 2 * len(self._due) + _SLACK:
            self._heap = [(instant, live) for live, instant in self._due.items()]
            heapq.heapify(self._heap)

    def discard(self, key: K) -> None:
        """Forget `key` if it is there."""
        self._due.pop(key, None)

    def first(self) -> datetime | None:
        """When the earliest key is due; None if there is no key."""
        while self._heap:
            due, key = self._heap[0]
            if self._due.get(key) == due:
                return due
            heapq.heappop(self._heap)
        return None

    def pop(self) -> K:
        """Remove the earliest key and return it; ties are broken by the key.

        Raises:
            IndexError: there is none.
        """
        self.first()
        _, key = heapq.heappop(self._heap)
        del self._due[key]
        return key
