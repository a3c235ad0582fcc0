"""The locks on the messages of a queue with sessions: each lasts as long as the lock of the message's session."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import ClassVar, override
from uuid import UUID

from local.emulators.servicebus.entry import Entry
from local.emulators.servicebus.errors import NotAllowedError
from local.emulators.servicebus.locks import Locks
from local.emulators.servicebus.sessions import SessionLock, Sessions


class SessionLocks[T](Locks[T]):
    """Locks messages under the hold that a receiver has on their session."""

    by_session: ClassVar[bool] = True

    def __init__(self, duration: timedelta, tokens: Callable[[], UUID]) -> None:
        super().__init__(duration, tokens)
        self.sessions = Sessions(duration)

    @override
    def lock(self, entry: Entry[T], now: datetime) -> None:
        """Lock the message until its session's hold ends.

        Raises:
            SessionLockLostError: nobody holds the session.
        """
        hold = self._hold(entry)
        hold.tokens.add(self._give_token(entry))
        entry.locked_until = hold.locked_until

    @override
    def renew(self, token: UUID, now: datetime) -> datetime:
        self.held(token)
        raise NotAllowedError("The lock of a message in a session cannot be renewed. Renew the session's lock.")

    @override
    def unlock(self, token: UUID) -> Entry[T]:
        entry = super().unlock(token)
        self._hold(entry).tokens.discard(token)
        return entry

    @override
    def first_end(self) -> datetime | None:
        return self.sessions.first_end()

    @override
    def end_first(self, now: datetime) -> list[Entry[T]]:
        ended = self.sessions.end_first(now)
        return self._unlocked(ended) if ended is not None else []

    def release(self, hold: SessionLock) -> list[Entry[T]]:
        """End a hold; return the messages that were locked under it. None are if the hold has ended already."""
        if not self.sessions.holds(hold):
            return []
        return self._unlocked(self.sessions.unlock(hold.session_id))

    def _hold(self, entry: Entry[T]) -> SessionLock:
        return self.sessions.held(entry.submission.session_id or "")

    def _unlocked(self, hold: SessionLock) -> list[Entry[T]]:
        entries = [self._locked.pop(token) for token in hold.tokens]
        for entry in entries:
            entry.lock_token = entry.locked_until = None
        return entries
