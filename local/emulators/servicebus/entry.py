"""The messages of a queue, as the queue sees them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from uuid import UUID


class State(IntEnum):
    """The states of a message, numbered as on the wire (`x-opt-message-state`)."""

    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


@dataclass(frozen=True, slots=True)
class Submission[T]:
    """What a sender hands in; `content` is opaque to the queue and `size` is its bytes."""

    content: T
    message_id: str | None = None
    time_to_live: timedelta | None = None
    scheduled_for: datetime | None = None
    size: int = 0
    session_id: str | None = None

    def expiry(self, active_from: datetime, longest: timedelta | None) -> datetime | None:
        """When a message expires that is received from then on; the queue permits no life beyond `longest`."""
        lives = [life for life in (self.time_to_live, longest) if life is not None]
        try:
            return active_from + min(lives) if lives else None
        except OverflowError:
            return None  # beyond the calendar is never


@dataclass(slots=True, eq=False)
class Entry[T]:
    """A message in a queue. `delivery_count` is the number of deliveries that failed so far."""

    submission: Submission[T]
    content: T
    sequence_number: int
    enqueued_at: datetime
    state: State
    expires_at: datetime | None = None
    delivery_count: int = 0
    lock_token: UUID | None = None
    locked_until: datetime | None = None
    dead_letter_reason: str | None = None
    dead_letter_description: str | None = None

    def is_expired(self, now: datetime) -> bool:
        """Whether the message has outlived its time to live."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True)
class Counts:
    """How many messages a queue holds; each message is counted once.

    `active` ones can be received now, `locked` ones are with a receiver, `deferred` ones wait to be received
    by sequence number, `dead_lettered` ones are in the dead-letter queue whatever their state there.
    """

    active: int
    scheduled: int
    deferred: int
    dead_lettered: int
    locked: int
