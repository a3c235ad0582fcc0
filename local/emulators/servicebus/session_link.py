"""The sending end of a receiver that accepts a session."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, override

from local.emulators.servicebus.amqp.outcomes import filters_of
from local.emulators.servicebus.amqp.values import Described, Symbol
from local.emulators.servicebus.errors import QueueError, SessionLockLostError
from local.emulators.servicebus.failures import LinkFailure
from local.emulators.servicebus.queue_link import QueueLink

if TYPE_CHECKING:
    from uuid import UUID

    from local.emulators.servicebus.amqp.outcomes import Outcome
    from local.emulators.servicebus.amqp.performatives import Attach
    from local.emulators.servicebus.entity import Outlet
    from local.emulators.servicebus.session import Session
    from local.emulators.servicebus.sessions import SessionLock

SESSION_FILTER = Symbol("com.microsoft:session-filter")
_LOCKED_UNTIL = Symbol("com.microsoft:locked-until-utc")
_TIMEOUT = Symbol("com.microsoft:timeout")
_DEFAULT_TIMEOUT = 60_000  # milliseconds
_MAX_TIMEOUT = 86_400_000
_FILTERS = 7  # of a source's fields
_TICKS_EPOCH = datetime(1, 1, 1, tzinfo=UTC)


def asks_for_session(attach: Attach) -> bool:
    """Whether the receiver wants a session, by name or the next one."""
    return SESSION_FILTER in filters_of(attach.source)


class SessionLink(QueueLink):
    """Delivers the messages of one session once it has been accepted, and ends when the session's lock is lost.

    The client's attach is answered when there is a session, which for the next available one may take a while.
    """

    def __init__(self, session: Session, attach: Attach, outlet: Outlet, *, deletes: bool) -> None:
        """Accept the named session now, or begin to wait for the next one.

        Raises:
            LinkFailure: the name is not text, or the session cannot be had.
        """
        wanted = filters_of(attach.source)[SESSION_FILTER]
        wanted = wanted.value if isinstance(wanted, Described) else wanted
        if wanted is not None and not isinstance(wanted, str):
            raise LinkFailure("amqp:invalid-field", "A session id must be text.")
        try:
            accepted = outlet.queue.with_sessions().accept_session(wanted)
        except QueueError as error:
            raise LinkFailure(error.condition, str(error)) from error
        super().__init__(session, attach, outlet, deletes=deletes)
        self.attach = attach
        if accepted is not None:
            self._begin(accepted)
        else:
            timeout = (attach.properties or {}).get(_TIMEOUT)
            patience = timeout if isinstance(timeout, int) else _DEFAULT_TIMEOUT
            session.connection.later(timedelta(milliseconds=min(max(patience, 0), _MAX_TIMEOUT)), self._give_up)

    @override
    def prepare(self) -> None:
        if self.hold is None:
            accepted = self.outlet.queue.with_sessions().accept_session()
            if accepted is not None:
                self._begin(accepted)
        elif not self.outlet.queue.with_sessions().holds(self.hold):
            lost = SessionLockLostError(self.hold.session_id)
            self._session.drop(self, LinkFailure(lost.condition, str(lost)))

    @override
    def capacity(self) -> int:
        return super().capacity() if self.hold is not None else 0

    @override
    def exhausted(self) -> None:
        if self.hold is not None:
            super().exhausted()
            self.hold.receiving = self.credit > 0

    @override
    def close(self) -> None:
        super().close()
        if self.hold is not None:
            self.outlet.queue.with_sessions().release_session(self.hold)
            self.outlet.touch()

    @override
    def settle(self, token: UUID, outcome: Outcome) -> QueueError | None:
        if self.hold is not None and not self.outlet.queue.with_sessions().holds(self.hold):
            return SessionLockLostError(self.hold.session_id)
        return super().settle(token, outcome)

    def _begin(self, lock: SessionLock) -> None:
        self.hold = lock
        self._session.confirm(self, _source_with(self.attach, lock.session_id), {_LOCKED_UNTIL: _ticks(lock)})

    def _give_up(self) -> None:
        if self.hold is None and self in self.outlet.consumers:
            self._session.drop(
                self, LinkFailure("com.microsoft:timeout", "No session with a message became free in time.")
            )


def _source_with(attach: Attach, session_id: str) -> Described | None:
    """The client's source with the session that it got, which is how the client learns the session's name."""
    if attach.source is None:
        return None
    fields = [*attach.source.value, *[None] * (_FILTERS + 1 - len(attach.source.value))]
    fields[_FILTERS] = {**filters_of(attach.source), SESSION_FILTER: session_id}
    return Described(attach.source.descriptor, fields)


def _ticks(lock: SessionLock) -> int:
    """The end of the lock as .NET counts: in units of 100 ns since the year 1."""
    return (lock.locked_until - _TICKS_EPOCH) // timedelta(microseconds=1) * 10
