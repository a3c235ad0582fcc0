"""From plans to facts: announce by compare-and-swap, write under conditions, park, commit what was confirmed."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from copy import replace
from datetime import timedelta
from itertools import batched
from typing import Final, cast
from uuid import UUID

from shared import telemetry
from shared.domain.decide import Plan
from shared.domain.link import Stored
from shared.domain.model import Side
from shared.domain.schema.mapping import EntityMapping
from shared.errors import Conflict, LinkTooLarge
from shared.flows.ports.engine import Clock, Cmms, Dynamics, Ledger
from shared.flows.routing.outcomes import Park
from shared.flows.routing.route import Router
from shared.flows.sync.answer import Answer, made_before, refusals
from shared.flows.sync.commit import committed
from shared.flows.sync.step import Round, Step
from shared.flows.sync.witnesses import Watch
from shared.flows.sync.work import Work

log = logging.getLogger(__name__)

# Longer than a bulk write's total time-out, shorter than the queue's lock.
INTENT_LIFE: Final = timedelta(seconds=150)
WRITE_BUDGET: Final = timedelta(seconds=130)

_SOURCE: Final = "/sync"

type Planned = tuple[Work, Plan]


class Executor:
    """Carries out plans. A record that lost a race stays open for the next round."""

    def __init__(
        self,
        ledger: Ledger,
        dynamics: Dynamics,
        cmms: Cmms | None,
        router: Router,
        watch: Watch,
        *,
        clock: Clock,
        ids: Callable[[], UUID],
    ) -> None:
        self._ids = ids
        self._watch = watch
        self._ledger = ledger
        self._dynamics = dynamics
        # In one-way mode no plan writes to the CMMS.
        self._cmms = cast("Cmms", cmms)
        self._router = router
        self._clock = clock

    async def run(self, entity: EntityMapping, planned: Sequence[Planned], abreast: int) -> Round:
        """Carry out the plans of one round, in parts beside each other: while one is written, the next is announced.

        Args:
            entity: What the records are.
            planned: One lane's records.
            abreast: How many lanes of the batch do so. They share the requests that may be under way, so that each
                cuts its records into as large parts as if it wrote all of theirs.

        Returns:
            The ends of the messages whose records are done, and the records that need another round.

        Raises:
            RoutingFailed: Something could not be parked.
            TransientError: The ledger could not be written.
        """
        # Creates and updates go in requests of their own: a part of one kind needs one request.
        ordered = sorted(planned, key=lambda one: any(write.creates for write in one[1].writes))
        share = self._dynamics.share(len(planned) * abreast)
        return await Round.beside(self._part(entity, part) for part in batched(ordered, share, strict=False))

    async def _part(self, entity: EntityMapping, planned: Sequence[Planned]) -> Round:
        deadline = self._clock.monotonic() + WRITE_BUDGET.total_seconds()
        expires_at = self._clock.now() + INTENT_LIFE
        steps = [Step.first(entity, work, plan, expires_at, self._ids) for work, plan in planned]
        loud, quiet = _parted(steps, lambda step: step.plan.is_announced)
        ready, lost = await self._announce(entity, loud)
        written = await self._write(entity, ready, deadline)
        # Park before the ledger remembers that it was parked: twice is a nuisance, never is a loss.
        told = [await self._park(entity, step) for step in [*quiet, *written]]
        stored, late = await self._commit(entity, told)
        return Round.of([lost, late, *(self._concluded(entity, step) for step in stored)])

    async def _announce(self, entity: EntityMapping, steps: Sequence[Step]) -> tuple[list[Step], Round]:
        """Rule 4: one compare-and-swap stores the intents and every conflict before anything is sent."""
        holders = [step.plan.holder for step in steps if step.plan.holder is not None]
        ready, lost = await self._swap(entity, steps, holders)
        conflicts = sum(len(step.plan.merged.conflicts) for step in ready)
        telemetry.count("sync.conflicts", conflicts, entity=entity.name)
        # A message that names the row before is tried again for nothing: the record is looked at by its own name.
        moved = {step.link.identities[0]: step.link.key for step in ready if step.has_moved}
        await self._router.resync(entity.name, moved, reason="its row was replaced", source=_SOURCE)
        return ready, lost

    async def _swap(
        self, entity: EntityMapping, steps: Sequence[Step], holders: Sequence[Stored] = ()
    ) -> tuple[list[Step], Round]:
        """Store the link of each step; the holders of the rows that some of these take let go first, in the same call.

        Returns:
            The steps whose links are stored, and the end of those that lost a race or are too large. A link cannot
            take what another one did not let go.
        """
        await self._watch.note(entity.name, ((step.stored.link, step.link) for step in steps))
        let_go = [Stored(link=holder.link.without_row, etag=holder.etag) for holder in holders]
        results = await self._ledger.write(entity.name, [*let_go, *(step.wanted for step in steps)])
        kept: list[Step] = []
        lost = Round()
        for step, result in zip(steps, results[len(holders) :], strict=True):
            match result:
                case Stored():
                    kept.append(replace(step, stored=result))
                case LinkTooLarge():
                    lost += Round(step.work.ends(Park(result)))
                case None:
                    race = Conflict(f"{step.work.name} changed in the ledger while it was being decided.")
                    lost += Round(open=(replace(step.work, lost=race),))
        taken = {step.stored.link.row_id for step in kept}
        # A row that was let go and not taken would be nobody's: its holder is stored as it was.
        left = [
            Stored(link=holder.link, etag=result.etag)
            for holder, result in zip(holders, results, strict=False)
            if isinstance(result, Stored) and holder.link.row_id not in taken
        ]
        await self._ledger.write(entity.name, left)
        return kept, lost

    async def _write(self, entity: EntityMapping, steps: Sequence[Step], deadline: float) -> list[Step]:
        """Rule 5: each write under its own condition, both sides at the same time."""

        async def sent(side: Side, target: Dynamics | Cmms) -> dict[str, Answer]:
            mine = [intent for step in steps for intent in step.intents if intent.side == side]
            results = await target.write(entity, mine, deadline) if mine else ()
            return {intent.id: Answer.of(entity, intent, result) for intent, result in zip(mine, results, strict=True)}

        both = await asyncio.gather(sent("dynamics", self._dynamics), sent("cmms", self._cmms))
        answers = both[0] | both[1]
        made = made_before(answers.values())
        known = await self._ledger.find(entity.name, sorted(made))
        answers |= {made[name].intent.id: made[name].of_another for name in known}
        return [replace(step, answers=tuple(answers[intent.id] for intent in step.intents)) for step in steps]

    async def _park(self, entity: EntityMapping, step: Step) -> Step:
        """Park what is blocked, once per value; a replayed message is parked again for what still blocks it."""
        work = step.work
        replayed = [delivery for delivery in work.deliveries if delivery.is_replay]
        blocked = [
            block
            for block in step.plan.blocked
            if block.mark not in work.parked and (replayed or not block.is_parked(step.stored.link))
        ]
        if not blocked:
            return step
        # A replayed message carries the history of its failures, which must not end here.
        delivery = [*replayed, work.deliveries[-1]][0]
        await self._router.park_fields(entity, step.plan.link.key, delivery.body, delivery.event, blocked)
        return replace(step, work=replace(work, parked=work.parked | {block.mark for block in blocked}))

    async def _commit(self, entity: EntityMapping, steps: Sequence[Step]) -> tuple[list[Step], Round]:
        """Rule 6: the bases follow each confirmed write; what has no answer stays in doubt."""
        now = self._clock.now()
        ended = [replace(step, link=committed(entity, step.plan, step.link, step.answers, now)) for step in steps]
        changed, same = _parted(ended, lambda step: step.has_news)
        stored, lost = await self._swap(entity, changed)
        return [*same, *stored], lost

    def _concluded(self, entity: EntityMapping, step: Step) -> Round:
        refused = list(refusals(entity, step.answers, step.link, step.work.attempts))
        for block in refused:
            log.warning("%s %s: %s", entity.name, step.work.name, block.error.message)
        return step.concluded(refused, self._clock.now())


def _parted(steps: Sequence[Step], test: Callable[[Step], bool]) -> tuple[list[Step], list[Step]]:
    """The steps that pass a test, and the others."""
    passed: list[Step] = []
    failed: list[Step] = []
    for step in steps:
        if test(step):
            passed.append(step)
        else:
            failed.append(step)
    return passed, failed
