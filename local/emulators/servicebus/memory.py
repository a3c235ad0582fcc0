"""A bus without sockets over the same queues, for simulations: virtual time, and deliveries gone astray on purpose.

What the mischief does is what a real bus may do: a sender that never saw the acknowledgement sends again, a lock is
lost while its holder still works, messages overtake each other, and some arrive late.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from local.emulators.servicebus.entry import Counts, Entry, Submission
from local.emulators.servicebus.errors import LockLostError
from local.emulators.servicebus.queue import Queue
from local.emulators.servicebus.settings import QueueSettings


@dataclass(frozen=True)
class BusMessage:
    """What is sent. `scheduled_for` and `time_to_live` as on Service Bus."""

    body: bytes
    message_id: str | None = None
    application_properties: Mapping[str, object] = field(default_factory=dict)
    time_to_live: timedelta | None = None
    scheduled_for: datetime | None = None


@dataclass(frozen=True)
class Delivery:
    """What is received, with what the broker knows of it. Without a `lock_token` there is nothing to settle."""

    queue: str
    message: BusMessage
    sequence_number: int
    delivery_count: int
    enqueued_at: datetime
    lock_token: UUID | None
    locked_until: datetime | None
    dead_letter_reason: str | None
    dead_letter_description: str | None
    from_dead_letters: bool


class Settlement(StrEnum):
    """What a receiver decides about a delivery."""

    COMPLETE = "complete"
    ABANDON = "abandon"
    DEFER = "defer"
    DEAD_LETTER = "dead-letter"
    RELEASE = "release"


@dataclass(frozen=True)
class Mischief:
    """How often things go astray, as probabilities per message from 0 to 1; all drawn from `seed`.

    Attributes:
        resend: a message is sent twice (the same message id, so duplicate detection may swallow the second).
        lose_lock: a delivery's lock is lost at once: somebody else receives the message while it is worked on.
        reorder: a message changes places with the next one of its batch.
        delay: a message arrives late, by up to `longest_delay`.
        longest_delay: the upper bound of a delay.
    """

    seed: int = 0
    resend: float = 0.0
    lose_lock: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    longest_delay: timedelta = timedelta(seconds=30)


class MemoryBus:
    """Queues by name, with the semantics of the broker, under an injected clock (UTC).

    Raises `LookupError` for an unknown queue, and the errors of `Queue` as they are.
    """

    def __init__(
        self, queues: Iterable[QueueSettings], clock: Callable[[], datetime], mischief: Mischief | None = None
    ) -> None:
        self._clock = clock
        self._mischief = mischief or Mischief()
        # Draws decide what a simulation meets; nothing secret depends on them.
        self._random = random.Random(self._mischief.seed)  # noqa: S311 - see above
        self._queues: dict[str, Queue[BusMessage]] = {
            settings.name: Queue(settings, clock, self._token) for settings in queues
        }

    async def send(self, queue: str, messages: Sequence[BusMessage]) -> list[int]:
        """Send all or none; return a sequence number for each."""
        numbers = []
        main = self._queue(queue)
        submissions = [self._submission(message) for message in messages]
        numbers = main.send(*submissions)
        main.send(*(each for each in submissions if self._happens(self._mischief.resend)))
        return numbers

    async def cancel_scheduled(self, queue: str, sequence_numbers: Sequence[int]) -> None:
        """Withdraw scheduled messages, all or none."""
        self._queue(queue).cancel_scheduled(list(sequence_numbers))

    async def receive_batch(
        self, queue: str, limit: int, *, dead_letters: bool = False, delete: bool = False
    ) -> list[Delivery]:
        """Take up to `limit` messages that are there now; it does not wait for more."""
        source = self._queue(queue, dead_letters=dead_letters)
        entries = source.receive(limit, delete=delete)
        deliveries = [_delivery(queue, entry, dead_letters=dead_letters) for entry in entries]
        for index in range(len(deliveries) - 1):
            if self._happens(self._mischief.reorder):
                deliveries[index], deliveries[index + 1] = deliveries[index + 1], deliveries[index]
        for delivery in deliveries:
            if delivery.lock_token is not None and self._happens(self._mischief.lose_lock):
                source.abandon(delivery.lock_token)
        return deliveries

    async def receive_deferred(self, queue: str, sequence_numbers: Sequence[int]) -> list[Delivery]:
        """Take deferred messages, all or none."""
        entries = self._queue(queue).receive_deferred(list(sequence_numbers))
        return [_delivery(queue, entry, dead_letters=False) for entry in entries]

    async def settle(
        self, delivery: Delivery, how: Settlement, reason: str | None = None, description: str | None = None
    ) -> None:
        """Settle a delivery; reason and description are for a dead letter."""
        source = self._queue(delivery.queue, dead_letters=delivery.from_dead_letters)
        token = _token_of(delivery)
        match how:
            case Settlement.COMPLETE:
                source.complete(token)
            case Settlement.ABANDON:
                source.abandon(token)
            case Settlement.DEFER:
                source.defer(token)
            case Settlement.RELEASE:
                source.release(token)
            case Settlement.DEAD_LETTER:
                source.dead_letter(token, reason, description)

    async def renew(self, delivery: Delivery) -> datetime:
        """Renew the lock; return its new end."""
        source = self._queue(delivery.queue, dead_letters=delivery.from_dead_letters)
        return source.renew(_token_of(delivery))

    async def peek(self, queue: str, limit: int, *, dead_letters: bool = False) -> list[Delivery]:
        """Look at messages from the lowest sequence number on."""
        entries = self._queue(queue, dead_letters=dead_letters).peek(0, limit)
        return [_delivery(queue, entry, dead_letters=dead_letters) for entry in entries]

    def counts(self, queue: str) -> Counts:
        """How many messages the queue holds, by state."""
        return self._queue(queue).counts()

    def next_due(self) -> datetime | None:
        """When something happens next by itself in any queue: where a simulation may let its clock jump to."""
        dues = [queue.next_due() for queue in self._queues.values()]
        return min((due for due in dues if due is not None), default=None)

    def _queue(self, name: str, *, dead_letters: bool = False) -> Queue[BusMessage]:
        queue = self._queues.get(name)
        if queue is None:
            raise LookupError(f"There is no queue {name!r}; the bus has: {', '.join(self._queues) or 'none'}.")
        return queue.dead_letters if dead_letters and queue.dead_letters is not None else queue

    def _submission(self, message: BusMessage) -> Submission[BusMessage]:
        scheduled_for = message.scheduled_for
        if self._happens(self._mischief.delay):
            lateness = self._mischief.longest_delay * self._random.random()
            scheduled_for = max(scheduled_for or self._clock(), self._clock()) + lateness
        return Submission(message, message.message_id, message.time_to_live, scheduled_for, len(message.body))

    def _happens(self, probability: float) -> bool:
        # No draw where nothing can happen, so that switching one kind on leaves the others' draws alone.
        return probability > 0 and self._random.random() < probability

    def _token(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)


def _token_of(delivery: Delivery) -> UUID:
    if delivery.lock_token is None:
        raise LockLostError(UUID(int=0))
    return delivery.lock_token


def _delivery(queue: str, entry: Entry[BusMessage], *, dead_letters: bool) -> Delivery:
    return Delivery(
        queue=queue,
        message=entry.content,
        sequence_number=entry.sequence_number,
        delivery_count=entry.delivery_count,
        enqueued_at=entry.enqueued_at,
        lock_token=entry.lock_token,
        locked_until=entry.locked_until,
        dead_letter_reason=entry.dead_letter_reason,
        dead_letter_description=entry.dead_letter_description,
        from_dead_letters=dead_letters,
    )
