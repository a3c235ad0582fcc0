"""The messages of one queue by sequence number, in memory and in the keeper's hands."""

import heapq
from collections.abc import Iterator

from local.emulators.servicebus.entry import Entry, State
from local.emulators.servicebus.keeper import Forgetful, Keeper


class Shelf[T]:
    """All messages of a queue or dead-letter queue, in any state.

    Attributes:
        size: the bytes of all messages.
    """

    def __init__(self, keeper: Keeper[T] | None = None) -> None:
        self.size = 0
        self._entries: dict[int, Entry[T]] = {}
        self._keeper: Keeper[T] = keeper if keeper is not None else Forgetful[T]()
        self._last_number, entries = self._keeper.kept()
        for entry in entries:
            self._place(entry)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry[T]]:
        return iter(self._entries.values())

    def __contains__(self, number: object) -> bool:
        return number in self._entries

    def __getitem__(self, number: int) -> Entry[T]:
        return self._entries[number]

    def from_number(self, number: int, limit: int, session_id: str | None) -> list[Entry[T]]:
        """The first messages from a number on, in any state; of one session if one is named."""
        wanted = (
            each
            for each, entry in self._entries.items()
            if each >= number and session_id in {None, entry.submission.session_id}
        )
        return [self._entries[each] for each in heapq.nsmallest(limit, wanted)]

    def active_sessions(self) -> set[str]:
        """The sessions with a message that is active, locked or not."""
        active = {entry.submission.session_id for entry in self if entry.state is State.ACTIVE}
        return {each for each in active if each is not None}

    def next_number(self) -> int:
        """A sequence number that no message had before."""
        self._last_number += 1
        return self._last_number

    def put(self, entry: Entry[T]) -> None:
        """Add a message."""
        self._place(entry)
        self._keeper.put(entry)

    def changed(self, entry: Entry[T]) -> None:
        """Note that a message is not as it was."""
        self._keeper.put(entry)

    def remove(self, entry: Entry[T]) -> None:
        """Forget a message."""
        del self._entries[entry.sequence_number]
        self._keeper.drop(entry.sequence_number)
        self.size -= entry.submission.size

    def _place(self, entry: Entry[T]) -> None:
        self._entries[entry.sequence_number] = entry
        self.size += entry.submission.size
