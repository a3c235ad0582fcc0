"""The receiving end of a client's sender."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from local.emulators.servicebus.amqp.outcomes import rejected
from local.emulators.servicebus.amqp.values import Described
from local.emulators.servicebus.content import BATCH_FORMAT
from local.emulators.servicebus.failures import LinkFailure

if TYPE_CHECKING:
    from local.emulators.servicebus.amqp.performatives import Attach, Flow, Transfer
    from local.emulators.servicebus.session import Session

CREDIT = 1000
_TOO_LARGE = "amqp:link:message-size-exceeded"
_PATIENCE = 16  # times its limit a message may grow before the link is ended instead of the message rejected
# The Python SDK counts a batch some 56 bytes smaller than what it then sends: a batch that it calls full must pass. A
# single message has no such allowance.
_MISCOUNTED = 256
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
