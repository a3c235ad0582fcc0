"""Rule 6: what the ledger remembers once a round's writes have been answered."""

from collections.abc import Collection, Sequence
from datetime import datetime

from shared.domain.convergence import remember
from shared.domain.ledger import Base, Entry, ParkedField
from shared.domain.merge import Blocked, digest
from shared.domain.model import CmmsRecord, DynamicsRecord, Side
from shared.domain.plan import RECORD, SideWrite
from shared.flows.ports.engine import Failed
from shared.flows.sync.jobs import Job


def committed(job: Job, now: datetime) -> Entry:
    """The entry after a round: both bases follow each confirmed write, what is unknown stays announced."""
    entry = job.stored.entry.model_copy(update={"last_sync": now})
    unsure: set[str] = set()
    results: tuple[tuple[Side, CmmsRecord | DynamicsRecord | Failed | None, SideWrite | None], ...] = (
        ("dynamics", job.dynamics, job.plan.to_dynamics),
        ("cmms", job.cmms, job.plan.to_cmms),
    )
    for side, result, write in results:
        if result is None or write is None:
            continue
        if write.release_key or (isinstance(result, Failed) and side == "dynamics"):
            # Where the row keeps its state and its key, what they held back is held back still.
            unsure |= entry.parked.keys()
        if isinstance(result, Failed):
            unsure |= {RECORD, *write.sources}
            if not result.unknown:
                entry = _forget(entry, {intent.id for intent in job.intents if intent.side == side})
                if side == "dynamics" and write.create:
                    entry = entry.model_copy(update={"dynamics_id": job.plan.entry.dynamics_id})
        else:
            entry = _confirmed(job, entry, side, result, write, now=now)
    return with_parked(entry, job.plan.blocked, unsure=unsure)


def with_parked(entry: Entry, blocked: Sequence[Blocked], *, unsure: Collection[str] = ()) -> Entry:
    """What is parked now; `unsure` are the fields of which this round does not tell what became of them."""
    found = {
        block.field: ParkedField(side=block.side, digest=block.digest, reason=block.error.reason) for block in blocked
    }
    kept = {name: one for name, one in entry.parked.items() if name in unsure or RECORD in found}
    parked = {**kept, **found}
    return entry if parked == entry.parked else entry.model_copy(update={"parked": parked})


def _confirmed(
    job: Job, entry: Entry, side: Side, result: CmmsRecord | DynamicsRecord, write: SideWrite, *, now: datetime
) -> Entry:
    expected = next(intent.expected_etag for intent in job.intents if intent.side == side)
    # Nothing else that expected this etag can land any more.
    entry = _forget(
        entry, {intent.id for intent in entry.intents if (intent.side, intent.expected_etag) == (side, expected)}
    )
    bases = dict(entry.bases)
    for name, source in write.sources.items():
        written = write.values.get(name)
        held = result.values.get(name, written)
        if write.create and held != written:
            # Created rows are read back by another request: what it finds may be a person's edit. Without a base the
            # next round treats it as one.
            bases.pop(name, None)
        else:
            bases[name] = Base(cmms=source, dynamics=held) if side == "dynamics" else Base(cmms=held, dynamics=source)
    history = dict(entry.written)
    for name, value in write.values.items():
        history[name] = remember(history.get(name, ()), side, digest(value), now)
    return entry.model_copy(update={"bases": bases, "written": history, **_identity(job, result, write)})


def _identity(job: Job, result: CmmsRecord | DynamicsRecord, write: SideWrite) -> dict[str, object]:
    if isinstance(result, CmmsRecord):
        return {} if result.id is None else {"cmms_id": result.id}
    update: dict[str, object] = {"dynamics_id": result.id, "row_made": result.created}
    if write.create or write.restore_key:
        update["renamed_from"] = None
    if job.plan.cmms is not None and not job.plan.cmms.deleted:
        update["deleted_at"] = None
    return update


def _forget(entry: Entry, over: set[str]) -> Entry:
    return entry.model_copy(update={"intents": tuple(intent for intent in entry.intents if intent.id not in over)})
