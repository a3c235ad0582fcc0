"""What one queue is configured with."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

_LONGEST_LOCK = timedelta(minutes=5)


@dataclass(frozen=True)
class QueueSettings:
    """The settings of one queue, with the defaults of the service.

    Attributes:
        name: case-insensitive, may contain ``/``.
        lock_duration: how long a peek-locked message stays with its receiver unless renewed.
        max_delivery_count: the number of failed deliveries after which a message is dead-lettered.
        duplicate_window: how long a ``MessageId`` is remembered; None switches duplicate detection off.
        time_to_live: the longest life of a message, from its enqueue time; a message may ask for less.
        requires_session: whether every message belongs to a session and receivers accept sessions.
        dead_letter_on_expiration: whether an expired message is dead-lettered or dropped.
        max_message_bytes: the largest encoded message or batch.
        max_queue_bytes: the size at which the queue is full and refuses further sends.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    """For whoever reads settings from a file: a misspelt name is refused."""

    name: str
    lock_duration: timedelta = timedelta(seconds=60)
    max_delivery_count: int = 10
    duplicate_window: timedelta | None = None
    time_to_live: timedelta | None = None
    requires_session: bool = False
    dead_letter_on_expiration: bool = True
    max_message_bytes: int = 262_144
    max_queue_bytes: int = 1_073_741_824

    def __post_init__(self) -> None:
        """Refuse settings that no queue can have.

        Raises:
            ValueError: naming the queue, the setting and what it must be.
        """
        problems = []
        if not self.name.strip("/ ") or "$" in self.name:
            problems.append("name must be a word or a path such as 'assets', without '$'")
        if not timedelta() < self.lock_duration <= _LONGEST_LOCK:
            problems.append("lock_duration must be longer than zero and at most 5 minutes")
        if self.max_delivery_count < 1:
            problems.append("max_delivery_count must be 1 or more")
        for field in ("duplicate_window", "time_to_live"):
            value: timedelta | None = getattr(self, field)
            if value is not None and value <= timedelta():
                problems.append(f"{field} must be longer than zero, or absent")
        if self.max_message_bytes < 1 or self.max_queue_bytes < 1:
            problems.append("max_message_bytes and max_queue_bytes must be 1 or more")
        if problems:
            raise ValueError(f"Queue {self.name!r}: {'; '.join(problems)}.")
