"""The deliveries of a session that the client has not settled, and what its dispositions do to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from local.emulators.servicebus.amqp.outcomes import OutcomeKind, read_outcome
from local.emulators.servicebus.amqp.values import Described, UInt, ULong
from local.emulators.servicebus.errors import LockLostError
from local.emulators.servicebus.refusals import lock_lost, refused

if TYPE_CHECKING:
    from uuid import UUID

    from local.emulators.servicebus.amqp.performatives import Disposition
    from local.emulators.servicebus.queue_link import QueueLink
    from local.emulators.servicebus.session import Session

_MAX_UNSETTLED = 5000


class Delivery(NamedTuple):
    """A locked message, and the link on which it was sent."""

    link: QueueLink
    token: UUID


class Settlements:
    """Deliveries by their id in the session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._unsettled: dict[int, Delivery] = {}

    @property
    def owed(self) -> bool:
        """Whether the client must settle before it gets more; deliveries whose locks have ended do not count."""
        if len(self._unsettled) >= _MAX_UNSETTLED:
            self._forget_lost_locks()
        return len(self._unsettled) >= _MAX_UNSETTLED

    def expect(self, delivery_id: int, delivery: Delivery) -> None:
        """Wait for the settlement of a delivery."""
        self._unsettled[delivery_id] = delivery

    def forget(self, link: QueueLink) -> None:
        """Wait no more for what was sent on a link."""
        self._unsettled = {key: each for key, each in self._unsettled.items() if each.link is not link}

    def clear(self) -> None:
        """Wait for nothing."""
        self._unsettled.clear()

    def on_disposition(self, disposition: Disposition) -> None:
        """Settle what a receiver's disposition names, and answer."""
        if not disposition.role or disposition.state is None:
            return
        state, found = disposition.state, self._take(disposition)
        delay = self._session.connection.namespace.faults.delay_settlements
        if delay:
            # What has reached the broker takes effect even if the connection ends meanwhile.
            self._session.connection.later(delay, lambda: self._settle(disposition, state, found), survives=True)
        else:
            self._settle(disposition, state, found)

    def _take(self, disposition: Disposition) -> dict[int, Delivery]:
        first = int(disposition.first)
        last = int(disposition.last) if disposition.last is not None else first
        if first == last:
            keys = [first] if first in self._unsettled else []
        else:
            # The range is the client's word: walk what is known, not the range.
            keys = [key for key in self._unsettled if first <= key <= last]
        return {key: self._unsettled.pop(key) for key in keys}

    def _settle(self, disposition: Disposition, state: Described, found: dict[int, Delivery]) -> None:
        session, outcome = self._session, read_outcome(state)
        if outcome.kind is OutcomeKind.RECEIVED:
            self._unsettled |= found
            return
        # An accepted dead-lettering is confirmed by the outcome without the error that asked for it.
        confirmed = Described(ULong(outcome.kind), []) if outcome.kind is OutcomeKind.REJECTED else state
        for key, (link, token) in found.items():
            refusal = link.settle(token, outcome)
            if not disposition.settled:
                session.send_disposition(role=False, first=UInt(key), state=refused(refusal) if refusal else confirmed)
        if not found and not disposition.settled:
            session.send_disposition(role=False, first=disposition.first, last=disposition.last, state=lock_lost())
        if found and not session.blocked:
            session.wake()

    def _forget_lost_locks(self) -> None:
        for key, (link, token) in list(self._unsettled.items()):
            try:
                link.outlet.queue.locked(token)
            except LockLostError:
                del self._unsettled[key]
