"""The sending end of a client's receiver of a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.emulators.servicebus.amqp.outcomes import Outcome, OutcomeKind
from local.emulators.servicebus.content import encoded_for_receiver
from local.emulators.servicebus.errors import QueueError
from local.emulators.servicebus.outgoing_link import OutgoingLink

if TYPE_CHECKING:
    from uuid import UUID

    from local.emulators.servicebus.amqp.message import Message
    from local.emulators.servicebus.amqp.performatives import Attach
    from local.emulators.servicebus.entity import Outlet
    from local.emulators.servicebus.entry import Entry
    from local.emulators.servicebus.session import Session
    from local.emulators.servicebus.sessions import SessionLock


class QueueLink(OutgoingLink):
    """Delivers a queue's messages: locked, or removed at once if the receiver asked for settled ones."""

    hold: SessionLock | None = None

    def __init__(self, session: Session, attach: Attach, outlet: Outlet, *, deletes: bool) -> None:
        super().__init__(session, attach)
        self.outlet = outlet
        self.deletes = deletes
        self._in_delay = 0
        outlet.consumers.append(self)

    def close(self) -> None:
        """Take no more messages. Locks that are held run on until they expire."""
        self.outlet.consumers.remove(self)

    def prepare(self) -> None:
        """A queue without sessions needs nothing before it hands out."""

    def capacity(self) -> int:
        """How many messages the client and the connection can take now."""
        return 0 if self._session.blocked else self.credit

    def deliver(self, entry: Entry[Message]) -> None:
        """Send a message, tagged with its lock token."""
        self._use_credit()
        delay = self._session.connection.namespace.faults.delay_deliveries
        payload, token = encoded_for_receiver(entry), entry.lock_token
        if not delay:
            self._send(payload, token)
            return
        self._in_delay += 1
        self._session.connection.later(delay, lambda: self._send_late(payload, token))

    def exhausted(self) -> None:
        """Give unused credit back if the client asked for that."""
        if self._drain and not self._in_delay and not (self.credit and self._session.blocked):
            self._give_up_credit()
            self._drain = False

    def wake(self) -> None:
        """Have the queue look whether it can deliver."""
        self.outlet.touch()

    def settle(self, token: UUID, outcome: Outcome) -> QueueError | None:
        """Apply the client's decision; return why it could not be applied."""
        queue = self.outlet.queue
        try:
            if outcome.annotations:
                entry = queue.locked(token)
                changes = {str(key): value for key, value in outcome.annotations.items()}
                entry.content = entry.content.with_application_properties(changes)
            match outcome.kind:
                case OutcomeKind.ACCEPTED:
                    queue.complete(token)
                case OutcomeKind.RELEASED:
                    queue.release(token)
                case OutcomeKind.MODIFIED if outcome.undeliverable_here:
                    queue.defer(token)
                case OutcomeKind.MODIFIED:
                    queue.abandon(token)
                case OutcomeKind.REJECTED:
                    self._dead_letter(token, outcome)
                case OutcomeKind.RECEIVED:
                    pass
        except QueueError as error:
            return error
        finally:
            self.outlet.touch()
        return None

    def _dead_letter(self, token: UUID, outcome: Outcome) -> None:
        info = {str(key): value for key, value in (outcome.error_info or {}).items()}
        reason = info.pop("DeadLetterReason", None)
        description = info.pop("DeadLetterErrorDescription", None)
        entry = self.outlet.queue.locked(token)
        if info:
            entry.content = entry.content.with_application_properties(info)
        self.outlet.queue.dead_letter(
            token,
            reason if isinstance(reason, str) else None,
            description if isinstance(description, str) else outcome.error_description,
        )

    def _send(self, payload: bytes, token: UUID | None) -> None:
        if token is None:
            self._session.send_transfer(self, self._delivery_count.to_bytes(4), payload, settled=True)
        else:
            self._session.send_transfer(self, token.bytes_le, payload, settled=False, token=token)

    def _send_late(self, payload: bytes, token: UUID | None) -> None:
        self._in_delay -= 1
        if self._session.open:
            self._send(payload, token)
            self.wake()
