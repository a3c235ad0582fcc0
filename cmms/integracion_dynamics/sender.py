"""What the relay needs of a message broker, so that tests can stand in for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Outgoing:
    """One message: `sequence` is the outbox's id, `event_id` the MessageId for duplicate detection.

    `hint` is sent in place of a body that is larger than the queue takes.
    """

    sequence: int
    event_id: str
    body: bytes
    hint: bytes
    traceparent: str = ""


@dataclass(frozen=True)
class Accepted:
    """The broker holds these messages, the `shortened` ones as hints."""

    sequences: tuple[int, ...]
    shortened: tuple[int, ...] = ()


@dataclass(frozen=True)
class Refused:
    """This message will never be taken, whatever the broker's state."""

    sequence: int
    reason: str


class UnavailableError(Exception):
    """The queue cannot be reached now; the text says why and is safe to log."""


class Sender(Protocol):
    """Sends to queues, in order."""

    def send(
        self, queue: str, messages: Sequence[Outgoing], proceed: Callable[[], bool]
    ) -> Iterator[Accepted | Refused]:
        """Send the messages in as few transfers as fit, reporting each as it is settled.

        Before each transfer `proceed` is asked; where it says no, nothing more is sent.

        Raises:
            UnavailableError: what was not reported may or may not have arrived, and is to be sent again.
        """
        ...

    def close(self) -> None:
        """Let the connections go."""
        ...
