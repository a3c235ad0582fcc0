"""The sessions of a queue: who holds which, until when, and each session's state.

Rules: https://learn.microsoft.com/azure/service-bus-messaging/message-sessions
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from local.emulators.servicebus.due import DueKeys
from local.emulators.servicebus.errors import SessionCannotBeLockedError, SessionLockLostError


@dataclass(eq=False)
class SessionLock:
    """A receiver's hold on a session.

    Attributes:
        tokens: the locks of the messages that were received under this hold.
        receiving: whether the receiver waits for messages. The service does not let such a hold run out:
            https://github.com/Azure/azure-service-bus/issues/694
    """

    session_id: str
    locked_until: datetime
    tokens: set[UUID] = field(default_factory=set)
    receiving: bool = False


class Sessions:
    """Locks by session id, each for `lock_duration` unless renewed, and states, which outlive locks and messages."""

    def __init__(self, lock_duration: timedelta) -> None:
        self._lock_duration = lock_duration
        self._locks: dict[str, SessionLock] = {}
        self._ends: DueKeys[str] = DueKeys()
        self._states: dict[str, tuple[bytes, datetime]] = {}

    def lock(self, session_id: str, now: datetime) -> SessionLock:
        """Give a session to a receiver.

        Raises:
            SessionCannotBeLockedError: another receiver holds it.
        """
        if session_id in self._locks:
            raise SessionCannotBeLockedError(session_id)
        lock = self._locks[session_id] = SessionLock(session_id, now + self._lock_duration)
        self._ends.add(session_id, lock.locked_until)
        return lock

    def is_locked(self, session_id: str) -> bool:
        """Whether a receiver holds the session."""
        return session_id in self._locks

    def holds(self, lock: SessionLock) -> bool:
        """Whether this very hold is still in force."""
        return self._locks.get(lock.session_id) is lock

    def held(self, session_id: str) -> SessionLock:
        """The lock of a session that a receiver holds.

        Raises:
            SessionLockLostError: nobody holds it.
        """
        lock = self._locks.get(session_id)
        if lock is None:
            raise SessionLockLostError(session_id)
        return lock

    def renew(self, session_id: str, now: datetime) -> datetime:
        """Prolong a hold by the lock duration from now; return its new end. Raises as `held`."""
        lock = self.held(session_id)
        lock.locked_until = now + self._lock_duration
        self._ends.add(session_id, lock.locked_until)
        return lock.locked_until

    def unlock(self, session_id: str) -> SessionLock:
        """End a hold and return it. Raises as `held`."""
        lock = self.held(session_id)
        del self._locks[session_id]
        self._ends.discard(session_id)
        return lock

    def first_end(self) -> datetime | None:
        """When the next hold runs out; None if there is none."""
        return self._ends.first()

    def end_first(self, now: datetime) -> SessionLock | None:
        """End the hold that runs out first and return it; None if its receiver waits, which prolongs the hold."""
        session_id = self._ends.pop()
        if self._locks[session_id].receiving:
            self.renew(session_id, now)
            return None
        return self._locks.pop(session_id)

    def state(self, session_id: str) -> bytes | None:
        """The session's state; None if there is none. Raises as `held`."""
        self.held(session_id)
        known = self._states.get(session_id)
        return known[0] if known else None

    def set_state(self, session_id: str, state: bytes | None, now: datetime) -> None:
        """Replace the session's state; None clears it. Raises as `held`."""
        self.held(session_id)
        self._states.pop(session_id, None)
        if state is not None:
            self._states[session_id] = (state, now)

    def with_state(self, updated_after: datetime | None = None) -> list[str]:
        """The sessions with a state, or with one that was set after an instant."""
        return [
            session_id
            for session_id, (_, updated) in self._states.items()
            if updated_after is None or updated > updated_after
        ]
