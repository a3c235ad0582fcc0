"""One batch of messages, from bytes to an outcome for each. The rules stand in docs/architecture.md."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from copy import replace
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import Final
from uuid import UUID, uuid4

from shared.domain.blocked import Blocked
from shared.domain.decide import Decision, Plan, Snapshot, Wait, decide
from shared.domain.messages.queues import OF_ENTITY
from shared.domain.schema.mapping import EntityMapping, Mapping
from shared.domain.words import plural
from shared.errors import (
    Conflict,
    InvalidMessage,
    RoutingFailed,
    Throttled,
    TransientError,
    Unavailable,
    Unexpected,
)
from shared.flows.ports.engine import Clock, Cmms, Dynamics, Ledger
from shared.flows.routing.outcomes import Again, Outcome, Park
from shared.flows.routing.postpone import routed_unread
from shared.flows.routing.route import FIRST_DELAY, Routed, Router
from shared.flows.sync.deliveries import Delivery, Outcomes, Unread, read_deliveries
from shared.flows.sync.execute import INTENT_LIFE, Executor
from shared.flows.sync.lag import behind
from shared.flows.sync.lanes import LANE, lanes
from shared.flows.sync.mass_clear import MassClears, Planned
from shared.flows.sync.metrics import observed
from shared.flows.sync.reads import Reads
from shared.flows.sync.resolve import resolve
from shared.flows.sync.snapshot import Snapshots
from shared.flows.sync.step import Round
from shared.flows.sync.work import Work

log = logging.getLogger(__name__)
# Rounds within one batch for records that change meanwhile; then the message waits its turn again. A record gets as
# many as it has fields, too, and one more: a side refuses one at a time, and the good ones are to arrive.
ROUNDS: Final = 6
_ROUND: Final = INTENT_LIFE + timedelta(seconds=20)
"""What a round may take: the longest bulk write, and its reads. None is begun that would outlive the queue's lock."""


@dataclass(frozen=True)
class Summary:
    """What became of a batch, in messages."""

    applied: int
    already_true: int
    retried: int
    parked: int


class Sync:
    """The engine. One instance serves every entity and any number of batches at a time."""

    def __init__(
        self,
        mapping: Mapping,
        ledger: Ledger,
        dynamics: Dynamics,
        cmms: Cmms | None,
        router: Router,
        *,
        clock: Clock,
        ids: Callable[[], UUID] = uuid4,
        lane: int = LANE,
    ) -> None:
        """`cmms` None means one-way mode: the messages' own values are the CMMS's side. `ids` names rows and writes.

        `lane` is the most records of a batch that are worked on together.
        """
        self._mapping = mapping
        self._ledger = ledger
        self._dynamics = dynamics
        self._cmms = cmms
        self._router = router
        self._clock = clock
        self._lane = lane
        self._snapshots = Snapshots(ledger, dynamics, cmms)
        self._masses = MassClears()
        self._executor = Executor(ledger, dynamics, cmms, router, self._snapshots.watch, clock=clock, ids=ids)

    async def handle(self, entity_name: str, bodies: Sequence[bytes]) -> Summary:
        """Process a batch of message bodies from the entity's queue.

        Raises:
            RoutingFailed: An outcome could not be written to the bus; the broker must redeliver the batch.
        """
        entity = self._mapping.entities.get(entity_name)
        if entity is None:
            return await self._unmapped(entity_name, bodies)
        deliveries, unread = read_deliveries(entity, bodies, self._clock.now(), one_way=self._cmms is None)
        with observed(entity.name, deliveries, unread, self._clock) as report:
            round_ = await self._in_lanes(entity, deliveries)
            outcomes = round_.outcomes | {one.place: one.outcome for one in unread}
            tally = report(outcomes)
            routed = await self._router.route(OF_ENTITY[entity.name].name, _routed(deliveries, unread, outcomes))
        summary = Summary(tally["applied"], tally["already_true"], routed.retried, routed.parked)
        log.info(
            "%s: %s: %d applied, %d already true, %d to retry, %d parked",
            entity.name, plural(len(bodies), "message"), summary.applied, summary.already_true, summary.retried,
            summary.parked,
        )  # fmt: skip
        return summary

    async def _unmapped(self, entity_name: str, bodies: Sequence[bytes]) -> Summary:
        error = InvalidMessage(f"The mapping holds no {entity_name}: add it (SYNC_MAPPING), and replay this message.")
        queue = OF_ENTITY[entity_name].name
        routed = await self._router.route(queue, [routed_unread(body, Park(error)) for body in bodies])
        return Summary(0, 0, routed.retried, routed.parked)

    async def _in_lanes(self, entity: EntityMapping, deliveries: Sequence[Delivery]) -> Round:
        parts = lanes(deliveries, self._lane)
        ends = [self._guarded(entity, lane, len(parts)) for lane in parts]
        # One lane, as of most batches, needs no task beside this one.
        return await (ends[0] if len(ends) == 1 else Round.beside(ends))

    async def _guarded(self, entity: EntityMapping, deliveries: Sequence[Delivery], abreast: int) -> Round:
        """Work on a lane; whatever fails as a whole is tried again, message by message."""
        done = Round()
        try:
            async for part in self._rounds(entity, deliveries, abreast):
                done += part
        except RoutingFailed:
            raise
        except TransientError as error:
            return _rest(deliveries, done, Again(error))
        except Exception as error:
            # A fault of ours must not redeliver the good messages of the batch for ever: it counts as an attempt.
            log.exception("The %s batch failed in an unexpected way", entity.name)
            fault = Unexpected(f"{type(error).__name__} in the sync engine: see the log.")
            return _rest(deliveries, done, Again(fault))
        return done

    async def _rounds(
        self, entity: EntityMapping, deliveries: Sequence[Delivery], abreast: int
    ) -> AsyncIterator[Round]:
        """Work on the records of a lane until every message has an end; yields what each round ended."""
        latest = self._clock.monotonic() + (OF_ENTITY[entity.name].lock_duration - _ROUND).total_seconds()
        resolved, reads = await self._patiently(partial(self._resolve, entity, deliveries), latest)
        yield replace(resolved, open=())
        works = resolved.open
        # What was read a moment ago serves the first try: no side was read yet, and its etags still guard it.
        fresh = iter([reads])
        for number in range(max(ROUNDS, len(entity.fields) + 1)):
            if not works or (number and self._clock.monotonic() > latest):
                break
            done = await self._patiently(partial(self._round, entity, works, fresh, abreast), latest)
            yield replace(done, open=())
            works = done.open
        for work in works:
            busy = Conflict(f"{work.name} kept changing while it was being written.")
            yield Round(work.ends(Again(work.lost or busy)))

    async def _patiently[T](self, work: Callable[[], Awaitable[T]], latest: float) -> T:
        """Do what needs both sides. While one is down, the batch waits here for it.

        Sent back to the queue, its messages would return one by one. Here the next look is at the time that the side's
        gate gives to all who ask, and after it everything goes on at once.

        Raises:
            TransientError: Something failed otherwise, or the side is still down at `latest` (monotonic seconds).
        """
        while True:
            try:
                return await work()
            except (Throttled, Unavailable) as error:
                wait = max(error.least_wait, FIRST_DELAY).total_seconds()
                if self._clock.monotonic() + wait > latest:
                    raise
                log.info("A batch waits for %.0f s: %s", wait, error.message)
                await self._clock.sleep(wait)

    async def _resolve(self, entity: EntityMapping, deliveries: Sequence[Delivery]) -> tuple[Round, Reads]:
        reads = self._snapshots.reads(entity)
        return await resolve(deliveries, reads), reads

    async def _round(self, entity: EntityMapping, works: Sequence[Work], fresh: Iterator[Reads], abreast: int) -> Round:
        now = self._clock.now()
        outcomes: Outcomes = {}
        planned: list[Planned] = []
        snapshots = await self._snapshots.take(entity, works, now, next(fresh, None))
        for work, taken in zip(works, snapshots, strict=True):
            if not isinstance(taken, Snapshot):
                outcomes |= work.ends(Park(taken))
                continue
            ended = behind(entity, work, taken, one_way=self._cmms is None)
            outcomes |= ended
            left = work.without(ended) if ended else work
            if not left.deliveries:
                continue
            decision = self._decide(entity, left, taken, now)
            if isinstance(decision, Plan):
                planned.append((left, taken, decision))
            else:
                outcomes |= left.ends(Again(decision.error))
        return Round(outcomes) + await self._executor.run(entity, self._without_masses(entity, planned, now), abreast)

    def _without_masses(
        self, entity: EntityMapping, planned: Sequence[Planned], now: datetime
    ) -> list[tuple[Work, Plan]]:
        """The plans without the clears that are no people's work: these are parked, field by field."""
        masses = self._masses.held(entity, planned, now)
        if blocked := [*chain.from_iterable(masses)]:
            log.error("%s: %s", entity.name, blocked[0].error.message)
        return [
            self._without_mass(entity, (work, snapshot, plan), mass, now) if mass else (work, plan)
            for (work, snapshot, plan), mass in zip(planned, masses, strict=True)
        ]

    def _without_mass(
        self, entity: EntityMapping, planned: Planned, mass: Sequence[Blocked], now: datetime
    ) -> tuple[Work, Plan]:
        work, snapshot, plan = planned
        held = replace(work, refused=(*work.refused, *mass))
        again = decide(snapshot, held.context(entity, now, one_way=self._cmms is None))
        return held, again if isinstance(again, Plan) else plan

    def _decide(self, entity: EntityMapping, work: Work, snapshot: Snapshot, now: datetime) -> Decision:
        """Decide about one record; a fault of ours counts as an attempt of this record alone."""
        try:
            return decide(snapshot, work.context(entity, now, one_way=self._cmms is None))
        except Exception as error:
            log.exception("Deciding about %s %s failed in an unexpected way", entity.name, work.name)
            return Wait(Unexpected(f"{type(error).__name__} while deciding: see the log."))


def _rest(deliveries: Sequence[Delivery], done: Round, outcome: Outcome) -> Round:
    """A lane that failed as a whole: what no round has ended before, ends like this."""
    return Round({one.place: outcome for one in deliveries} | done.outcomes)


def _routed(deliveries: Sequence[Delivery], unread: Sequence[Unread], outcomes: Outcomes) -> list[Routed]:
    """Every message of the batch with its outcome, in the batch's order."""
    messages: list[Delivery | Unread] = [*deliveries, *unread]
    messages.sort(key=attrgetter("place"))
    return [Routed(one.body, one.event, one.key, outcomes[one.place]) for one in messages]
