"""From plans to facts: announce by compare-and-swap, write under conditions, commit what was confirmed."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from shared import telemetry
from shared.domain.ledger import Entry, Intent, Stored
from shared.domain.made_again import made_again
from shared.domain.merge import Blocked, digest
from shared.domain.model import DynamicsRecord, Side
from shared.domain.plan import RECORD, Plan, SideWrite
from shared.domain.planned import unusable
from shared.domain.recovery import may_yet_land
from shared.domain.schema.mapping import EntityMapping
from shared.errors import Conflict, IntentHeld, KeyNotUsable, NotYetVisible, PermanentError, TransientError
from shared.flows.ports.engine import Clock, Cmms, CmmsWrite, Dynamics, DynamicsWrite, Failed, Ledger
from shared.flows.routing.outcomes import Again, Done
from shared.flows.routing.route import Router
from shared.flows.sync.commit import committed, with_parked
from shared.flows.sync.items import SOURCE
from shared.flows.sync.jobs import Job, replayed
from shared.flows.sync.lost import lost_in_cmms, lost_in_dynamics
from shared.flows.sync.strangers import PATIENCE

log = logging.getLogger(__name__)

# Longer than a bulk write's total time-out, shorter than the queue's lock.
INTENT_LIFE: Final = timedelta(seconds=150)
WRITE_BUDGET: Final = timedelta(seconds=130)


class Executor:
    """Carries out plans. A record that lost a race stays open, for the engine's next round."""

    def __init__(
        self,
        ledger: Ledger,
        dynamics: Dynamics,
        cmms: Cmms | None,
        router: Router,
        *,
        clock: Clock,
        ids: Callable[[], UUID],
    ) -> None:
        self._ids = ids
        self._ledger = ledger
        self._dynamics = dynamics
        self._cmms = cmms
        self._router = router
        self._clock = clock

    async def run(self, entity: EntityMapping, jobs: Sequence[Job]) -> int:
        """Carry out the plans of one round; answers how many fields or records were parked."""
        quiet = [job for job in jobs if not job.plan.writes]
        deadline = self._clock.monotonic() + WRITE_BUDGET.total_seconds()
        loud = await self._announce(entity, [job for job in jobs if job.plan.writes])
        await asyncio.gather(self._write_dynamics(entity, loud, deadline), self._write_cmms(entity, loud, deadline))
        if self._clock.monotonic() < deadline:
            await asyncio.gather(lost_in_dynamics(self._dynamics, entity, loud), lost_in_cmms(self._cmms, entity, loud))
        for job in loud:
            self._refusals(entity, job)
        parked = await self._park(entity, [*quiet, *loud])
        await self._look_at_freed_keys(entity, loud)
        await self._commit(entity, quiet, loud)
        return parked

    async def _announce(self, entity: EntityMapping, jobs: Sequence[Job]) -> list[Job]:
        """Rule 4: one compare-and-swap stores the intents and every conflict before anything is sent."""
        now = self._clock.now()
        for job in jobs:
            job.intents = tuple(_intents(job.plan, now + INTENT_LIFE, self._ids))
        announced = await self._swap(
            entity,
            jobs,
            [_announced(job) for job in jobs],
        )
        telemetry.count("sync.conflicts", sum(len(job.plan.merged.conflicts) for job in announced), entity=entity.name)
        return announced

    async def _swap(self, entity: EntityMapping, jobs: Sequence[Job], entries: Sequence[Entry]) -> list[Job]:
        """Store one entry for each job; those that lost the race stay open and are left out."""
        if not jobs:
            return []
        wanted = [Stored(entry=entry, etag=job.stored.etag) for job, entry in zip(jobs, entries, strict=True)]
        kept: list[Job] = []
        for job, result in zip(jobs, await self._ledger.write(entity.name, wanted), strict=True):
            if isinstance(result, Stored):
                job.stored = result
                kept.append(job)
            elif isinstance(result, KeyNotUsable):
                job.group.refused.append(unusable(result))
        return kept

    async def _write_dynamics(self, entity: EntityMapping, jobs: Sequence[Job], deadline: float) -> None:
        mine = [(job, job.plan.to_dynamics) for job in jobs if job.plan.to_dynamics is not None]
        if not mine:
            return
        writes = [
            DynamicsWrite(
                key=job.plan.row.id if write.release_key and job.plan.row is not None else job.group.key,
                id=None if write.create or job.plan.row is None else job.plan.row.id,
                etag=None if write.create or job.plan.row is None else job.plan.row.etag,
                values=write.values,
                state=write.state,
                restore_key=write.restore_key or write.release_key,
                new_id=next((intent.row_id for intent in job.intents if intent.row_id is not None), None),
            )
            for job, write in mine
        ]
        for (job, _), result in zip(mine, await self._dynamics.write(entity, writes, deadline), strict=True):
            job.dynamics = result

    async def _write_cmms(self, entity: EntityMapping, jobs: Sequence[Job], deadline: float) -> None:
        mine = [(job, job.plan.to_cmms) for job in jobs if job.plan.to_cmms is not None]
        if not mine or self._cmms is None:
            return
        writes = [
            CmmsWrite(
                key=job.group.key,
                etag=None if write.create or job.plan.cmms is None else job.plan.cmms.etag,
                values=write.values,
                operation=next(intent.id for intent in job.intents if intent.side == "cmms"),
            )
            for job, write in mine
        ]
        for (job, _), result in zip(mine, await self._cmms.write(entity, writes, deadline), strict=True):
            job.cmms = result

    def _refusals(self, entity: EntityMapping, job: Job) -> None:
        """A refused value blocks its own field: the next round writes the rest. A refused row blocks the record."""
        for side, result, write in (
            ("dynamics", job.dynamics, job.plan.to_dynamics),
            ("cmms", job.cmms, job.plan.to_cmms),
        ):
            if not isinstance(result, Failed) or not isinstance(result.error, PermanentError) or write is None:
                continue
            if self._cmms is None and _is_unsaid(entity, job, result.error.field) and job.group.attempts < PATIENCE:
                wanted = f"Dynamics makes no row without {result.error.field}, and no message has said that yet."
                job.dynamics = Failed(NotYetVisible(wanted))
                continue
            source: Side = "cmms" if side == "dynamics" else "dynamics"
            name = result.error.field
            # The state that a row is born with is nobody's value: without it there is no row.
            if name is not None and name in write.values and not (write.create and write.sources.get(name) is None):
                block = Blocked(name, source, digest(write.sources.get(name)), result.error)
            else:
                block = Blocked(RECORD, source, write.digest, result.error)
            job.group.refused.append(block)
            log.warning("%s %s: %s", entity.name, job.group.key, result.error.message)

    async def _park(self, entity: EntityMapping, jobs: Sequence[Job]) -> int:
        """Park before the ledger remembers that it was parked: twice is a nuisance, never is a loss."""
        parked = 0
        for job in jobs:
            blocked = job.blocked
            if not blocked:
                continue
            # A replayed message carries the history of its failures, which must not end here.
            items = job.group.open_items
            item = next(filter(replayed, items), items[-1])
            await self._router.park_fields(entity, job.group.key, item.body, item.event, blocked)
            job.group.parked.update((block.field, block.digest) for block in blocked)
            parked += len(blocked)
        return parked

    async def _look_at_freed_keys(self, entity: EntityMapping, jobs: Sequence[Job]) -> None:
        """Another record may be parked for want of a key that a row has just given up: nothing else would tell it."""
        freed = {
            job.plan.row.key: job.group.key
            for job in jobs
            if job.plan.row is not None
            and job.plan.to_dynamics is not None
            and isinstance(job.dynamics, DynamicsRecord)
            if job.dynamics.key != job.plan.row.key
        }
        if not freed:
            return
        for key, stored in (await self._ledger.read(entity.name, list(freed))).items():
            parked = stored.entry.parked.get(RECORD) if isinstance(stored, Stored) else None
            if parked is not None and parked.reason == KeyNotUsable.reason:
                reason = f"the row of {freed[key]} has given its key up"
                await self._router.resync(entity.name, [key], reason=reason, source=SOURCE)

    async def _commit(self, entity: EntityMapping, quiet: Sequence[Job], loud: Sequence[Job]) -> None:
        """Rule 6: the bases follow each confirmed write; what is unknown stays announced."""
        now = self._clock.now()
        jobs: list[Job] = []
        entries: list[Entry] = []
        for job in quiet:
            entry = with_parked(job.plan.entry, job.plan.blocked)
            if entry == job.stored.entry and not job.plan.blocked:
                _conclude(job, now)
            else:
                # What stays blocked is concluded from memory: that this still stands, only a compare-and-swap tells.
                jobs.append(job)
                entries.append(entry.model_copy(update={"last_sync": now}))
        for job in loud:
            jobs.append(job)
            entries.append(committed(job, now))
        for job in await self._swap(entity, jobs, entries):
            _conclude(job, now)


def _is_unsaid(entity: EntityMapping, job: Job, field: str | None) -> bool:
    """One-way mode: whether no message has said the field; the one that does may have been overtaken."""
    said = job.plan.cmms
    return said is not None and field in entity.fields and field not in said.values and field not in said.errors


def _announced(job: Job) -> Entry:
    """The entry with its intents; a row is bound before it is made, so that whatever is heard of it finds its key."""
    entry = job.plan.entry
    new_row = next((intent.row_id for intent in job.intents if intent.row_id is not None), None)
    return entry.model_copy(
        update={"intents": (*entry.intents, *job.intents), "dynamics_id": new_row or entry.dynamics_id}
    )


def _intents(plan: Plan, expires_at: datetime, new_id: Callable[[], UUID]) -> list[Intent]:
    found: list[Intent] = []
    sides: tuple[tuple[Side, SideWrite | None, str | None], ...] = (
        ("dynamics", plan.to_dynamics, plan.row.etag if plan.row else None),
        ("cmms", plan.to_cmms, plan.cmms.etag if plan.cmms else None),
    )
    again = plan.row.created if plan.row is not None and made_again(plan.entry, plan.row) else None
    for side, write, etag in sides:
        if write is not None:
            found.append(
                Intent(
                    id=str(new_id()),
                    side=side,
                    expected_etag=None if write.create else etag,
                    values=dict(write.values),
                    sources=dict(write.sources),
                    before=dict(write.before),
                    # An earlier create that may yet land makes the same row: whichever comes second is refused.
                    row_id=(plan.entry.pending_row or str(new_id())) if write.create and side == "dynamics" else None,
                    row_made=again if side == "dynamics" else None,
                    expires_at=expires_at,
                )
            )
    return found


def _conclude(job: Job, now: datetime) -> None:
    """Give the record's messages their outcome, or leave them open for another round."""
    confirmed = [result for result in (job.dynamics, job.cmms) if result is not None and not isinstance(result, Failed)]
    failures = [result for result in (job.dynamics, job.cmms) if isinstance(result, Failed)]
    job.group.applied |= bool(confirmed)
    for failure in failures:
        if failure.unknown and isinstance(failure.error, TransientError):
            # Its intent holds the record until then: an earlier attempt would find nothing but that.
            failure.error.retry_after = max(failure.error.retry_after or timedelta(), INTENT_LIFE)
    transient = [f.error for f in failures if isinstance(f.error, TransientError)]
    job.group.lost = next((error for error in transient if isinstance(error, Conflict)), job.group.lost)
    lasting = [error for error in transient if not isinstance(error, Conflict)]
    if lasting:
        job.group.finish(Again(max(lasting, key=lambda error: error.retry_after or timedelta())))
    elif failures or (job.plan.to_dynamics is not None and job.plan.to_dynamics.unfinished):
        return
    elif not job.plan.writes and (wait := may_yet_land(job.stored.entry, now)) is not None:
        # It is known not to have landed only by a look at the untouched side after that.
        late = f"A write to {job.group.key} has no known outcome, and may yet land."
        job.group.finish(Again(IntentHeld(late, retry_after=wait)))
    else:
        job.group.finish(Done(applied=job.group.applied))
