"""The order of the questions: can the snapshot be believed, was either side deleted, does either side lack the record.

Only then, field by field: who changed. The decision table stands in docs/architecture.md.
"""

from dataclasses import replace

from shared.domain.blocked import RECORD, held_by_key
from shared.domain.decide.create import create_in_cmms, create_in_dynamics
from shared.domain.decide.delete import delete
from shared.domain.decide.first_contact import TakenOver, meet
from shared.domain.decide.plan import Decision, Plan, being_written, held, nothing
from shared.domain.decide.refused import whole
from shared.domain.decide.situation import Context, Snapshot
from shared.domain.decide.trust import doubt
from shared.domain.decide.update import update
from shared.domain.link import Link
from shared.errors import KeyNotUsable


def decide(snapshot: Snapshot, context: Context) -> Decision:
    """Plan for one record whose in-doubt writes are resolved as far as they can be.

    Returns:
        A plan, or a wait where a side lags or another row holds the key for now.
    """
    if (intent := snapshot.link.live_intent(context.now)) is not None:
        return being_written(intent, snapshot.link, context)
    if (doubtful := doubt(snapshot, context)) is not None:
        return doubtful
    decision = _decide(snapshot, context)
    return _without_refused(decision, snapshot.link, context) if isinstance(decision, Plan) else decision


def _decide(snapshot: Snapshot, context: Context) -> Decision:
    cmms, link = snapshot.cmms, snapshot.link
    if (cmms is not None and cmms.deleted) or (cmms is None and (context.said_deleted or link.deleted_at is not None)):
        return delete(snapshot, context)
    if cmms is None:
        return _without_record(snapshot, context)
    if snapshot.row is not None:
        return update(snapshot, context)
    if (error := context.entity.key_error(cmms.key)) is not None:
        return held(snapshot, held_by_key(error))
    met = meet(snapshot, context)
    if isinstance(met, Snapshot):
        return update(met, context)
    if isinstance(met, TakenOver):
        plan = update(met.snapshot, context, taken_over=True)
        return replace(plan, let_go=met.let_go) if isinstance(plan, Plan) else plan
    if met is not None:
        return met
    return create_in_dynamics(snapshot, context) if "dynamics" in context.entity.create_in else nothing(snapshot)


def _without_record(snapshot: Snapshot, context: Context) -> Decision:
    row = snapshot.row
    if row is None or context.one_way or "cmms" not in context.entity.create_in:
        return nothing(snapshot)
    if snapshot.rival is not None:
        error = KeyNotUsable(
            f"The row {row.id} has the key {row.key}, and the CMMS's record with that key has another row:"
            f" {snapshot.rival.link.row_id or 'none yet'}. Correct the key of one of the two rows.",
            field=context.entity.key.name,
            row_id=row.id,
        )
        return held(snapshot, held_by_key(error))
    return create_in_cmms(snapshot, context)


def _without_refused(plan: Plan, link: Link, context: Context) -> Plan:
    """The plan, unless a whole write of it was refused just now, or was parked before and nobody insists."""
    parked = link.parked.get(RECORD)
    for write in plan.writes:
        this = whole(write, None).digest
        if refused := [block for block in context.refused if (block.field, block.digest) == (RECORD, this)]:
            return Plan(plan.stored, link, blocked=tuple(refused[:1]))
        if parked is not None and parked.digest == this and not context.insist:
            return Plan(plan.stored, link)
    return plan
