"""The sending end of a client's receiver: its credit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.emulators.servicebus.amqp.performatives import Attach, Flow
    from local.emulators.servicebus.session import Session

_MODULUS = 1 << 32


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

    def _give_up_credit(self) -> None:
        """Use all credit up without a message, and say so."""
        self._delivery_count = (self._delivery_count + self.credit) % _MODULUS
        self.credit = 0
        self._report()
