"""The order of the questions: can the snapshot be believed, was either side deleted, does either side lack the record.

Only then, field by field: who changed. The decision table stands in docs/architecture.md.
"""

from copy import replace

from shared.domain.blocked import Blocked, held_by_key
from shared.domain.decide.create import create_in_cmms
from shared.domain.decide.delete import delete
from shared.domain.decide.first_contact import Met, meet
from shared.domain.decide.key_conflict import key_conflict
from shared.domain.decide.plan import Decision, Plan, Wait, being_written, held, nothing
from shared.domain.decide.refused import value_digest, without_refused
from shared.domain.decide.situation import NO_HOLDER, Context, Snapshot
from shared.domain.decide.trust import doubt
from shared.domain.decide.update import update
from shared.errors import Conflict, KeyNotUsable


def decide(snapshot: Snapshot, context: Context) -> Decision:
    """Plan for one record whose in-doubt writes are resolved as far as they can be.

    Returns:
        A plan, or a wait where a side lags or another row holds the key for now.
    """
    return (
        being_written(snapshot.link, context)
        or _just_linked(snapshot)
        or doubt(snapshot, context)
        or without_refused(_decide(snapshot, context), snapshot.link, context)
    )


def _just_linked(snapshot: Snapshot) -> Wait | None:
    """Wait where the record got its row after its link was looked for: its row's link is its own by now."""
    for one in snapshot.candidates:
        if one.holder.link.cmms_id == snapshot.cmms.id:
            return Wait(Conflict(f"The record {snapshot.cmms.key} got its row {one.row.id} while it was looked at."))
    return None


def foresee(snapshot: Snapshot, context: Context) -> Decision:
    """What a sync comes to, for whoever only looks: as `decide`, past the announcement of a take-over."""
    decision = decide(snapshot, context)
    if isinstance(decision, Plan) and decision.link.takes_over not in {None, snapshot.link.takes_over}:
        return decide(replace(snapshot, link=decision.link), context)
    return decision


def _decide(snapshot: Snapshot, context: Context) -> Decision:
    cmms = snapshot.cmms
    if snapshot.link.is_deleted(cmms, said=context.said_deleted):
        return delete(snapshot, context)
    if not cmms.exists:
        return _without_record(snapshot, context)
    if snapshot.row.exists:
        return _key_taken(snapshot, context) if context.key_taken else update(snapshot, context)
    met = meet(snapshot, context)
    if not isinstance(met, Met):
        return met
    plan = update(replace(snapshot, link=met.link, row=met.row), context, taken_over=met.is_taken_over)
    return replace(plan, holder=met.holder)


def _key_taken(snapshot: Snapshot, context: Context) -> Decision:
    """Decide about a record whose key Dynamics refused as another row's.

    Returns:
        The key conflict's wait or release; where a person is needed, an update that holds back the key alone.
    """
    if not snapshot.candidates:
        return update(snapshot, context)
    decision = key_conflict(snapshot, snapshot.candidates[0], context)
    if isinstance(decision, Wait) or decision.writes:
        return decision
    name, (block,) = context.entity.key.name, decision.blocked
    of_key = Blocked(name, "cmms", value_digest(context.entity, name, snapshot.cmms.key), block.error)
    return update(snapshot, replace(context, refused=(*context.refused, of_key)))


def _without_record(snapshot: Snapshot, context: Context) -> Decision:
    row, rival = snapshot.row, snapshot.rival
    if not row.exists:
        # Whatever the row was held for went with it; in one-way mode nobody said that there is no record.
        return Plan(snapshot.stored, snapshot.link, decided=not context.one_way)
    if context.one_way or "cmms" not in context.entity.create_in:
        return nothing(snapshot)
    if rival is NO_HOLDER:
        return create_in_cmms(snapshot, context)
    if rival.link.row_id == row.id:
        # The ledger was read before its link was made, and both sides after: nothing is parked by an old memory.
        return Wait(Conflict(f"The row {row.id} got its record while it was looked at."))
    error = KeyNotUsable(
        f"The row {row.id} has the key {row.key}, and the CMMS's record with that key has another row:"
        f" {rival.link.row_id or 'none yet'}. Correct the key of one of the two rows.",
        field=context.entity.key.name,
        row_id=row.id,
    )
    return held(snapshot, held_by_key(error))
