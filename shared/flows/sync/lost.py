"""Writes whose answer was lost: the side is asked at once, while nobody has had time to change what was written.

What it shows then is as good as the answer. Where it shows anything else, or gives no answer again, or where an earlier
write of the same row is as unknown, the write stays announced: `domain/recovery.py` resolves it once it can no longer
land.
"""

from collections.abc import Sequence
from contextlib import suppress

from shared.domain.ledger import Intent
from shared.domain.model import CmmsRecord, DynamicsRecord, Record, Side
from shared.domain.schema.mapping import EntityMapping
from shared.errors import SyncError
from shared.flows.ports.engine import Cmms, Dynamics, Failed
from shared.flows.sync.jobs import Job


async def lost_in_dynamics(dynamics: Dynamics, entity: EntityMapping, jobs: Sequence[Job]) -> None:
    """Give the jobs whose Dynamics write has no answer the row, where it shows the write."""
    lost = [(job, row_id) for job in jobs if _is_lost(job.dynamics) and (row_id := _row_of(job)) is not None]
    if not lost:
        return
    with suppress(SyncError):
        rows = await dynamics.by_id(entity, [row_id for _, row_id in lost])
        for job, row_id in lost:
            if (row := rows.get(row_id)) is not None and _row_shows(job, row):
                job.dynamics = row


async def lost_in_cmms(cmms: Cmms | None, entity: EntityMapping, jobs: Sequence[Job]) -> None:
    """Give the jobs whose CMMS write has no answer the record, where it shows the write."""
    lost = [job for job in jobs if _is_lost(job.cmms)]
    if not lost or cmms is None:
        return
    with suppress(SyncError):
        records = await cmms.by_key(entity, [job.group.key for job in lost])
        for job in lost:
            if (record := records.get(job.group.key)) is not None and _record_shows(job, record):
                job.cmms = record


def _is_lost(result: Record | Failed | None) -> bool:
    return isinstance(result, Failed) and result.unknown


def _row_of(job: Job) -> str | None:
    intent = _intent(job, "dynamics")
    return intent.row_id or (job.plan.row.id if job.plan.row is not None else None)


def _intent(job: Job, side: Side) -> Intent:
    return next(intent for intent in job.intents if intent.side == side)


def _row_shows(job: Job, row: DynamicsRecord) -> bool:
    write = job.plan.to_dynamics
    intent = _intent(job, "dynamics")
    if write is None or write.release_key or _has_rivals(job, intent) or not _holds(intent, row):
        return False
    told = bool(write.values) or write.create or write.restore_key or write.state is not None
    key = row.key == job.group.key or not (write.create or write.restore_key)
    return told and key and (write.state is None or row.state == write.state[0])


def _has_rivals(job: Job, intent: Intent) -> bool:
    """Whether an earlier write may have landed in its place: values alone do not tell which one it was."""
    expected = (intent.side, intent.expected_etag)
    return sum((one.side, one.expected_etag) == expected for one in job.stored.entry.intents) > 1


def _record_shows(job: Job, record: CmmsRecord) -> bool:
    intent = _intent(job, "cmms")
    return not record.deleted and intent.id in (record.operations or ()) and _holds(intent, record)


def _holds(intent: Intent, record: Record) -> bool:
    moved = record.etag != intent.expected_etag
    return moved and all(record.values.get(field) == value for field, value in intent.values.items())
