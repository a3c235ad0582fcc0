"""The locks on the messages of a queue: who has which token, and when each lock ends."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID

from local.emulators.servicebus.due import DueKeys
from local.emulators.servicebus.entry import Entry
from local.emulators.servicebus.errors import LockLostError


class Locks[T]:
    """Gives each locked message a token of its own, for `duration` unless renewed."""

    by_session: ClassVar[bool] = False
    """Whether a message is locked with its session, so that each session has a line of its own."""

    def __init__(self, duration: timedelta, tokens: Callable[[], UUID]) -> None:
        self._duration = duration
        self._tokens = tokens
        self._locked: dict[UUID, Entry[T]] = {}
        self._by_number: dict[int, UUID] = {}
        self._ends: DueKeys[int] = DueKeys()

    def __len__(self) -> int:
        """How many messages are locked."""
        return len(self._locked)

    def lock(self, entry: Entry[T], now: datetime) -> None:
        """Give the message a new token."""
        self._give_token(entry)
        self._prolong(entry, now)

    def renew(self, token: UUID, now: datetime) -> datetime:
        """Prolong a lock by the duration from now; return its new end. Raises as `held`."""
        return self._prolong(self.held(token), now)

    def held(self, token: UUID) -> Entry[T]:
        """The message behind a token.

        Raises:
            LockLostError: the lock has ended, or there never was one.
        """
        entry = self._locked.get(token)
        if entry is None:
            raise LockLostError(token)
        return entry

    def unlock(self, token: UUID) -> Entry[T]:
        """End a lock and return its message. Raises as `held`."""
        entry = self.held(token)
        del self._locked[token]
        self._by_number.pop(entry.sequence_number, None)
        self._ends.discard(entry.sequence_number)
        entry.lock_token = entry.locked_until = None
        return entry

    def first_end(self) -> datetime | None:
        """When the next lock ends by itself; None if there is none."""
        return self._ends.first()

    def end_first(self, now: datetime) -> list[Entry[T]]:
        """End what ends at `first_end`; return the messages that nobody holds any more."""
        del now
        return [self.unlock(self._by_number[self._ends.pop()])]

    def _give_token(self, entry: Entry[T]) -> UUID:
        token = entry.lock_token = self._tokens()
        self._locked[token] = entry
        return token

    def _prolong(self, entry: Entry[T], now: datetime) -> datetime:
        end = entry.locked_until = now + self._duration
        if entry.lock_token is not None:
            self._by_number[entry.sequence_number] = entry.lock_token
        self._ends.add(entry.sequence_number, end)
        return end
