"""Dead letters go to `parked`, where a person looks, and every queue tells how long its oldest message has waited."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from shared import telemetry
from shared.domain.messages.events import CONTENT_TYPE
from shared.domain.messages.queues import ALL, OF_ENTITY, PARKED
from shared.domain.words import plural
from shared.errors import DEAD_LETTERED, SyncError
from shared.flows.ports.engine import Bus, Clock, DeadLetter, DeadLetters, Outgoing
from shared.flows.reconcile.report import QueueState
from shared.flows.routing.parking import bounded, bounded_history, park

log = logging.getLogger(__name__)

MOST_A_RUN = 5000


class DeadLetterMover:
    """Moves and measures. A queue that cannot be reached is told in the log and left to the next run."""

    def __init__(self, letters: DeadLetters, bus: Bus, clock: Clock) -> None:
        self._letters = letters
        self._bus = bus
        self._clock = clock

    async def drain(self) -> tuple[QueueState, ...]:
        """Move every dead letter and look at every queue."""
        sources = {queue.name for queue in OF_ENTITY.values()}
        return tuple(
            await asyncio.gather(*(self._queue(queue.name, MOST_A_RUN * (queue.name in sources)) for queue in ALL))
        )

    async def _queue(self, queue: str, limit: int) -> QueueState:
        try:
            moved, enqueued = await self._letters.tend(queue, partial(self._park, queue), limit)
        except SyncError as error:
            log.warning("The queue %s could not be looked after: %s", queue, error.message)
            return QueueState(queue, 0, None)
        oldest = max((self._clock.now() - enqueued).total_seconds(), 0.0) if enqueued is not None else 0.0
        telemetry.oldest_message_age(queue, oldest)
        if moved:
            log.warning("Moved %s of %s to %s", plural(moved, "dead letter"), queue, PARKED.name)
            telemetry.count("sync.messages.parked", moved, queue=queue, reason=DEAD_LETTERED)
        return QueueState(queue, moved, oldest)

    async def _park(self, queue: str, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Send them; answers those that are too large even with nothing but their reason, and stay."""
        now = self._clock.now()
        places = await park(self._bus, [_parked(queue, letter, now) for letter in letters])
        stay = [letters[place] for place in places]
        for letter in stay:
            log.error(
                "The dead letter %s of %s stays there: with %d bytes it is larger than %s takes together with its"
                " reason. Take it from the dead-letter queue by hand, and shorten the record at its source.",
                letter.message_id or "without an id", queue, len(letter.body), PARKED.name,
            )  # fmt: skip
        return stay


def _parked(queue: str, letter: DeadLetter, now: datetime) -> Outgoing:
    why = f"{letter.reason}: {letter.description}" if letter.description else letter.reason
    form = "" if letter.has_bytes else " Its body was no text but an AMQP value, and is written as JSON here."
    properties: dict[str, str | int] = {
        "reason": DEAD_LETTERED,
        "message": bounded(
            f"The broker gave this message up after {letter.deliveries} deliveries ({why}). See the log of that"
            f" time for why no delivery was finished, then replay it.{form}"
        ),
        "exception": bounded(letter.reason),
        "attempts": letter.deliveries,
        "parked_at": now.isoformat(),
        "source_queue": queue,
        "history": bounded_history([{"at": now.isoformat(), "reason": DEAD_LETTERED, "attempts": letter.deliveries}]),
    }
    if letter.enqueued_at is not None:
        properties["first_enqueued"] = letter.enqueued_at.isoformat()
    subject = bounded(letter.subject) if letter.subject else None
    if subject is not None:
        properties["key"] = subject
    # Its own id again: should this copy be sent twice, a person can tell.
    return Outgoing(
        letter.body, letter.message_id or None, content_type=CONTENT_TYPE, subject=subject, properties=properties
    )
