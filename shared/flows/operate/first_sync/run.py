"""Hands the records of a plan to the engine, at a bounded rate, and follows them to their end.

Nothing is remembered of single records: the ledger knows who has met. A run that is killed anywhere is begun again from
a fresh comparison, and a message that is sent twice finds everything done.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import uuid4

from shared.domain.messages.events import Event, parse_event
from shared.domain.messages.queues import OF_ENTITY, PARKED
from shared.domain.schema.mapping import EntityMapping
from shared.errors import InvalidMessage
from shared.flows.operate.first_sync.choices import EntityChoices
from shared.flows.operate.first_sync.staging import Staging
from shared.flows.operate.parked import Queues, Waiting
from shared.flows.ports.engine import Clock, State
from shared.flows.reconcile.first_sync import EntityProgress, Progress, store_progress
from shared.flows.routing.route import Router

SOURCE: Final = "/ops/first-sync"
CHUNK: Final = 100
AHEAD: Final = 2000
"""Messages of a run that may wait on a queue: people's own edits wait behind them."""
_LOOK_EVERY: Final = 2.0
_PARKED_EVERY: Final = 15.0

type Show = Callable[[Progress], None]


@dataclass(frozen=True)
class Part:
    """One entity of a run: its choices, how many records take part, and their list."""

    entity: EntityMapping
    choices: EntityChoices
    total: int
    staging: Staging


@dataclass(frozen=True)
class Lot:
    """The messages of first syncs on one queue, counted."""

    waiting: int = 0
    retried: int = 0
    throttled: int = 0

    @property
    def fresh(self) -> int:
        """Messages that were not tried yet."""
        return self.waiting - self.retried - self.throttled


class Runner:
    """One run. `rate` bounds the messages that are handed over in a second."""

    def __init__(
        self,
        state: State,
        router: Router,
        queues: Queues,
        clock: Clock,
        *,
        rate: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`sleep` waits for seconds; tests let the clock jump instead."""
        self._state = state
        self._router = router
        self._queues = queues
        self._clock = clock
        self._rate = rate
        self._sleep = sleep
        self.run = str(uuid4())
        self._looked = self._counted = float("-inf")

    async def waiting(self, entity: str) -> Lot:
        """The messages that this run or an earlier one still has on an entity's queue.

        Raises:
            TransientError: The queue could not be read.
        """
        events = [
            event
            async for page in self._queues.peek(OF_ENTITY[entity].name)
            for message in page
            if (event := _of_first_sync(message)) is not None
        ]
        return Lot(
            len(events),
            sum(event.attempt > 0 for event in events),
            sum(event.deferrals > 0 and not event.attempt for event in events),
        )

    async def parked(self) -> list[Waiting]:
        """What of this run is parked.

        Raises:
            TransientError: The queue could not be read.
        """
        return [
            message
            async for page in self._queues.peek(PARKED.name)
            for message in page
            if (event := _of_first_sync(message)) is not None and event.source == self._source
        ]

    async def go(self, parts: Sequence[Part], patience: timedelta, show: Show) -> Progress:
        """Hand everything over, entity by entity, then wait until nothing is on its way or patience is over.

        Args:
            parts: The entities, in their order.
            patience: How long to wait at the end for messages that are tried again.
            show: Hears of each step.

        Raises:
            RoutingFailed: A queue failed; what was counted as sent is on it.
            TransientError: A queue or the ledger could not be read.
        """
        now = self._clock.now()
        progress = Progress(
            run=self.run,
            started=now,
            at=now,
            entities={one.entity.name: EntityProgress(total=one.total) for one in parts},
        )
        # Before the first message, so that the reconciliation keeps away from the rest.
        progress = await self._look(progress, show, fresh=True)
        for part in parts:
            progress = await self._hand_over(part, progress, show)
        deadline = self._clock.monotonic() + patience.total_seconds()
        while any(one.waiting for one in progress.entities.values()) and self._clock.monotonic() < deadline:
            await self._sleep(_LOOK_EVERY)
            progress = await self._look(progress, show, fresh=True)
        self._counted = float("-inf")
        progress = await self._look(progress, show, fresh=True)
        done = progress.model_copy(update={"ended": self._clock.now()})
        await store_progress(self._state, done)
        show(done)
        return done

    async def _hand_over(self, part: Part, progress: Progress, show: Show) -> Progress:
        name, started, sent = part.entity.name, self._clock.monotonic(), 0
        for records in part.staging.todo(max(1, min(CHUNK, int(self._rate)))):
            while progress.entities[name].waiting >= AHEAD:
                await self._sleep(_LOOK_EVERY)
                progress = await self._look(progress, show, fresh=True)
            await self._sleep(max(0.0, started + sent / self._rate - self._clock.monotonic()))
            await self._router.resync(
                name, records, reason="first sync", source=self._source, prefer_fields=part.choices.prefer
            )
            sent += len(records)
            known = progress.entities[name]
            update = {"sent": sent, "waiting": known.waiting + len(records)}
            progress = progress.model_copy(
                update={
                    "entities": progress.entities | {name: known.model_copy(update=update)},
                    "at": self._clock.now(),
                }
            )
            progress = await self._look(progress, show)
        return await self._look(progress, show, fresh=True)

    async def _look(self, progress: Progress, show: Show, *, fresh: bool = False) -> Progress:
        """Count what waits and what is parked, remember it, and show it; now and then only, unless it must be fresh."""
        now = self._clock.monotonic()
        if not fresh and now - self._looked < _LOOK_EVERY:
            return progress
        entities = dict(progress.entities)
        for name, one in entities.items():
            if one.sent:
                entities[name] = one.model_copy(update=vars(await self.waiting(name)))
        if now - self._counted >= _PARKED_EVERY:
            parked = [message.entity for message in await self.parked()]
            entities = {name: one.model_copy(update={"parked": parked.count(name)}) for name, one in entities.items()}
            self._counted = self._clock.monotonic()
        progress = progress.model_copy(update={"entities": entities, "at": self._clock.now()})
        await store_progress(self._state, progress)
        show(progress)
        self._looked = self._clock.monotonic()
        return progress

    @property
    def _source(self) -> str:
        return f"{SOURCE}/{self.run}"


def _of_first_sync(message: Waiting) -> Event | None:
    """The event of a message that a first sync sent; None for every other one."""
    if SOURCE.encode() not in message.body:
        return None
    try:
        event = parse_event(message.body)
    except InvalidMessage:
        return None
    return event if event.source.startswith(SOURCE) else None
