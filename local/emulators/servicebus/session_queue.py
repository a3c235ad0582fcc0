"""A queue that requires sessions: every message belongs to one, and receivers accept sessions.

Rules: https://learn.microsoft.com/azure/service-bus-messaging/message-sessions
"""

from collections.abc import Callable
from datetime import datetime
from typing import override
from uuid import UUID, uuid4

from local.emulators.servicebus.entry import Entry, Submission
from local.emulators.servicebus.errors import NotAllowedError
from local.emulators.servicebus.keeper import Keeper
from local.emulators.servicebus.queue import Queue
from local.emulators.servicebus.session_locks import SessionLocks
from local.emulators.servicebus.sessions import SessionLock
from local.emulators.servicebus.settings import QueueSettings


class SessionQueue[T](Queue[T]):
    """The messages of a session wait in a line of their own, and are locked for as long as their session is.

    Its dead-letter queue has no sessions.
    """

    def __init__(
        self,
        settings: QueueSettings,
        clock: Callable[[], datetime],
        tokens: Callable[[], UUID] = uuid4,
        *,
        keeper: Keeper[T] | None = None,
    ) -> None:
        locks: SessionLocks[T] = SessionLocks(settings.lock_duration, tokens)
        super().__init__(settings, clock, tokens, keeper=keeper, locks=locks)
        self._session_locks = locks
        self._sessions = locks.sessions

    @override
    def with_sessions(self) -> "SessionQueue[T]":
        return self

    @override
    def send(self, *submissions: Submission[T]) -> list[int]:
        if any(each.session_id is None for each in submissions):
            raise NotAllowedError(
                f"The SessionId was not set on a message, and the queue {self.settings.name!r} requires sessions. "
                "Set it on every message."
            )
        return super().send(*submissions)

    @override
    def receive(self, limit: int = 1, *, delete: bool = False, session: SessionLock | None = None) -> list[Entry[T]]:
        if session is None or not self.holds(session):
            return []
        return super().receive(limit, delete=delete, session=session)

    @override
    def receive_deferred(
        self, sequence_numbers: list[int], *, delete: bool = False, session_id: str | None = None
    ) -> list[Entry[T]]:
        self.advance()
        self._sessions.held(session_id or "")
        return super().receive_deferred(sequence_numbers, delete=delete, session_id=session_id)

    # Sessions

    def accept_session(self, session_id: str | None = None) -> SessionLock | None:
        """Lock a session: the named one, or without a name the next one that is free and has a message to receive.

        Returns:
            The lock; None if no name was given and there is no such session now.

        Raises:
            SessionCannotBeLockedError: another receiver holds the named session.
        """
        now = self.advance()
        if session_id is None:
            free = (each for each in self.stock.waiting_sessions() if not self._sessions.is_locked(each))
            session_id = next(free, None)
        return self._sessions.lock(session_id, now) if session_id is not None else None

    def holds(self, session: SessionLock) -> bool:
        """Whether the lock of the session is still held."""
        self.advance()
        return self._sessions.holds(session)

    def release_session(self, session: SessionLock) -> None:
        """Give a session back, with its locked messages as if they had not been delivered."""
        now = self.advance()
        for entry in self._session_locks.release(session):
            self.stock.give_back(entry, now)

    def renew_session(self, session_id: str) -> datetime:
        """Lock the session for another `lock_duration` from now; return the new end.

        Raises:
            SessionLockLostError: nobody holds it.
        """
        return self._sessions.renew(session_id, self.advance())

    def session_state(self, session_id: str) -> bytes | None:
        """The state of a session that is held; raises as `renew_session`."""
        self.advance()
        return self._sessions.state(session_id)

    def set_session_state(self, session_id: str, state: bytes | None) -> None:
        """Replace the state of a session that is held, or clear it with None; raises as `renew_session`."""
        self._sessions.set_state(session_id, state, self.advance())

    def session_ids(self, state_set_after: datetime | None = None) -> list[str]:
        """The sessions with active messages or a state; or those whose state was set after an instant."""
        self.advance()
        if state_set_after is not None:
            return sorted(self._sessions.with_state(state_set_after))
        return sorted(self.stock.shelf.active_sessions().union(self._sessions.with_state()))
