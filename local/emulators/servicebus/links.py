"""The broker's ends of links: the receiving end of a sender, the sending end of a receiver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID

from local.emulators.servicebus.amqp.outcomes import Outcome, OutcomeKind, rejected
from local.emulators.servicebus.amqp.performatives import Attach, Flow, Transfer
from local.emulators.servicebus.amqp.values import Described
from local.emulators.servicebus.content import BATCH_FORMAT, encoded_for_receiver
from local.emulators.servicebus.errors import LockLostError, QueueError
from local.emulators.servicebus.failures import ConnectionFailure, LinkFailure

if TYPE_CHECKING:
    from local.emulators.servicebus.amqp.message import Message
    from local.emulators.servicebus.entity import Outlet
    from local.emulators.servicebus.entry import Entry
    from local.emulators.servicebus.session import Session
    from local.emulators.servicebus.sessions import SessionLock

CREDIT = 1000
_TOO_LARGE = "amqp:link:message-size-exceeded"
_PATIENCE = 16  # times its limit a message may grow before the link is ended instead of the message rejected
# The Python SDK counts a batch some 56 bytes smaller than what it then sends: a batch that it calls full must pass. A
# single message has no such allowance.
_MISCOUNTED = 256
_MAX_WAITING_REPLIES = 64
_MODULUS = 1 << 32

type OnMessage = Callable[[int, bytes], Described]


class IncomingLink:
    """Receives what a client sends, grants credit, and answers each message with an outcome.

    Each message is done with before the next is read, so credit is never short: a client is held back by its
    unread answers (the connection then stops reading) and by the queue's size, not by credit.
    """

    def __init__(self, session: Session, attach: Attach, max_message_bytes: int, on_message: OnMessage) -> None:
        self.handle = attach.handle
        self._session = session
        self._on_message = on_message
        self._max_message_bytes = max_message_bytes
        self._credit = 0
        self._delivery_count = attach.initial_delivery_count or 0
        self._first: Transfer | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._held = 0

    def grant(self) -> None:
        """Fill the client's credit up."""
        self._credit = CREDIT
        self._session.send_flow(self.handle, self._delivery_count % _MODULUS, self._credit)

    def on_flow(self, flow: Flow) -> None:
        """Take the sender's view of the delivery count."""
        if flow.delivery_count is not None:
            self._delivery_count = int(flow.delivery_count)
        if flow.echo:
            self.grant()

    def on_transfer(self, transfer: Transfer, payload: bytes) -> None:
        """Collect a message's parts; hand over and answer the complete message.

        Raises:
            LinkFailure: the message is too large, and cannot just be rejected.
        """
        if self._first is None:
            self._first = transfer
        self._collect(payload)
        if transfer.more and not transfer.aborted:
            return
        first, oversize, message = self._first, self._size > self._limit, b"".join(self._parts)
        settled = first.settled or transfer.settled or first.delivery_id is None
        if oversize and settled and not transfer.aborted:
            raise LinkFailure(_TOO_LARGE, self._too_large())
        self.drop_partial()
        self._credit -= 1
        self._delivery_count += 1
        if not transfer.aborted:
            # A rejection names the condition to the sender of this message and leaves the link to the others.
            outcome = (
                rejected(_TOO_LARGE, self._too_large())
                if oversize
                else self._on_message(int(first.message_format or 0), message)
            )
            if not settled and first.delivery_id is not None:
                self._session.send_disposition(role=True, first=first.delivery_id, state=outcome)
        if self._credit <= CREDIT // 2:
            self.grant()

    @property
    def _limit(self) -> int:
        batch = self._first is not None and self._first.message_format == BATCH_FORMAT
        return self._max_message_bytes + (_MISCOUNTED if batch else 0)

    def _collect(self, payload: bytes) -> None:
        self._size += len(payload)
        if self._size <= self._limit:
            self._session.connection.hold(len(payload))
            self._held += len(payload)
            self._parts.append(payload)
            return
        self._let_go()
        if self._size > _PATIENCE * self._max_message_bytes:
            raise LinkFailure(_TOO_LARGE, self._too_large())

    def _too_large(self) -> str:
        return f"The message is larger than {self._max_message_bytes} bytes. Send less, or smaller batches."

    def _let_go(self) -> None:
        self._session.connection.hold(-self._held)
        self._held = 0
        self._parts = []

    def drop_partial(self) -> None:
        """Forget the parts of an unfinished message."""
        self._let_go()
        self._first, self._size = None, 0


class OutgoingLink(ABC):
    """Sends to a client as far as its credit goes."""

    def __init__(self, session: Session, attach: Attach) -> None:
        self.handle = attach.handle
        self._session = session
        self.credit = 0
        self._delivery_count = 0
        self._drain = False

    def on_flow(self, flow: Flow) -> None:
        """Take the receiver's new credit."""
        if flow.link_credit is not None:
            seen = int(flow.delivery_count or 0)
            credit = (seen + flow.link_credit - self._delivery_count) % _MODULUS
            self.credit = credit if credit < _MODULUS // 2 else 0
            self._drain = bool(flow.drain)
        self.wake()
        if flow.echo:
            self._report()

    @abstractmethod
    def wake(self) -> None:
        """Send what can be sent now."""

    def _use_credit(self) -> None:
        self.credit -= 1
        self._delivery_count = (self._delivery_count + 1) % _MODULUS

    def _report(self) -> None:
        self._session.send_flow(self.handle, self._delivery_count, self.credit, drain=self._drain)


class ReplyLink(OutgoingLink):
    """Carries the replies of a request-response node, settled as they are sent."""

    def __init__(self, session: Session, attach: Attach, node: str, target: str | None) -> None:
        super().__init__(session, attach)
        self.node = node
        self.target = target
        self._waiting: deque[bytes] = deque()

    def reply(self, payload: bytes) -> None:
        """Send a reply now or when there is credit.

        Raises:
            ConnectionFailure: the client asks on without ever taking the replies.
        """
        if len(self._waiting) >= _MAX_WAITING_REPLIES:
            raise ConnectionFailure("amqp:resource-limit-exceeded", "Too many replies wait for link credit.")
        self._waiting.append(payload)
        self.wake()

    def wake(self) -> None:
        """Send the replies that waited."""
        while self._waiting and self.credit > 0 and not self._session.blocked:
            self._use_credit()
            self._session.send_transfer(self, self._delivery_count.to_bytes(4), self._waiting.popleft(), settled=True)
        if self._drain and not self._waiting and self.credit > 0:
            self._delivery_count = (self._delivery_count + self.credit) % _MODULUS
            self.credit = 0
            self._report()


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
            self._delivery_count = (self._delivery_count + self.credit) % _MODULUS
            self.credit = 0
            self._report()
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


def refused(error: QueueError) -> Described:
    """The outcome that tells a client why its message was not taken or settled."""
    return rejected(error.condition, str(error))


def lock_lost() -> Described:
    """The outcome for a delivery that this session does not know (any more)."""
    return refused(LockLostError(UUID(int=0)))
