"""Faults that a test or a demonstration asks of the broker. Use it in the broker's own event loop."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True)
class Refusal:
    """How sends are refused."""

    condition: str
    description: str


@dataclass
class Faults:
    """Switches of what goes wrong; all off at first.

    Attributes:
        refuse_connections: new connections are reset as soon as they are made.
        delay_deliveries: messages are locked at once and reach the receiver this much later.
        delay_settlements: settlements take effect, and are answered, this much later.
    """

    refuse_connections: bool = False
    delay_deliveries: timedelta = timedelta()
    delay_settlements: timedelta = timedelta()
    _break: Callable[[], int] = field(default=lambda: 0, repr=False)
    _refusal: Refusal | None = field(default=None, repr=False)
    _refusals_left: int | None = field(default=None, repr=False)

    def break_connections(self) -> int:
        """Reset every connection now, without a word of AMQP; return how many there were."""
        return self._break()

    def refuse_sends(
        self,
        condition: str = "com.microsoft:server-busy",
        description: str = "The broker was told to refuse sends.",
        times: int | None = None,
    ) -> None:
        """Reject messages with this AMQP error condition, the next `times` ones or until `accept_sends`."""
        self._refusal = Refusal(condition, description)
        self._refusals_left = times

    def accept_sends(self) -> None:
        """End `refuse_sends`."""
        self._refusal = None

    def next_refusal(self) -> Refusal | None:
        """How the message that is just arriving is to be refused; counts it."""
        refusal = self._refusal
        if refusal is not None and self._refusals_left is not None:
            self._refusals_left -= 1
            if self._refusals_left <= 0:
                self._refusal = None
        return refusal
