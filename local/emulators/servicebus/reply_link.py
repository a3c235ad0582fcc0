"""The sending end on which a request-response node answers."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from local.emulators.servicebus.failures import ConnectionFailure
from local.emulators.servicebus.outgoing_link import OutgoingLink

if TYPE_CHECKING:
    from local.emulators.servicebus.amqp.performatives import Attach
    from local.emulators.servicebus.session import Session

_MAX_WAITING_REPLIES = 64


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
            self._give_up_credit()
