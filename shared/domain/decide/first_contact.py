"""The only time that the business key matches anything: a record whose row is not known, or is gone."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from shared.domain.blocked import held_by_key
from shared.domain.decide.create import create_in_dynamics
from shared.domain.decide.delete import is_inactive
from shared.domain.decide.key_conflict import key_conflict
from shared.domain.decide.plan import Decision, Plan, being_written, held
from shared.domain.decide.situation import Candidate, Context, Snapshot
from shared.domain.link import Stored
from shared.errors import KeyNotUsable


def meet(snapshot: Snapshot, context: Context) -> Snapshot | Decision:
    """Find the row of a living record by its key.

    Returns:
        The snapshot with the row, to be merged without bases; a plan that creates a row where Dynamics has none for the
        key; a plan or a wait where the key is another row's.
    """
    key, candidates = snapshot.cmms.key, snapshot.candidates
    if (error := context.entity.key_error(key)) is not None:
        return held(snapshot, held_by_key(error))
    exact = [one for one in candidates if one.row.key == key]
    if len(exact) > 1:
        return _several(snapshot, exact, context)
    if not candidates:
        return create_in_dynamics(snapshot, context)
    candidate = [*exact, *candidates][0]
    holder = candidate.holder
    if not exact or (holder is not None and not candidate.is_abandoned):
        return key_conflict(snapshot, candidate, context)
    if holder is None:
        return _linked(snapshot, candidate, context)
    return being_written(holder.link, context) or _take_over(_linked(snapshot, candidate, context), holder)


def _several(snapshot: Snapshot, exact: Sequence[Candidate], context: Context) -> Plan:
    rows, entity = ", ".join(one.row.id for one in exact), context.entity
    error = KeyNotUsable(
        f"{len(exact)} rows have the same {entity.key.column} in {entity.table}: {rows}. Keep one of them, and activate"
        f" the alternate key {entity.alternate_key}.",
        field=entity.key.name,
    )
    return held(snapshot, held_by_key(error))


def _linked(snapshot: Snapshot, candidate: Candidate, context: Context) -> Snapshot:
    """Both meet without bases: equal values agree, a value beats null, different values are conflicts."""
    row = candidate.row
    link = snapshot.link.model_copy(update={"row_id": row.id, "bases": {}, "intents": ()})
    linked = replace(snapshot, link=link, row=row)
    # We deactivated the row for a deleted record, whose link has let go of it: a take-over that broke off.
    let_go = row.by_us and is_inactive(context.entity, row)
    return _taken_over(linked, context.now) if let_go else linked


def _take_over(linked: Snapshot, holder: Stored) -> Snapshot:
    """The old link lets go of the row first, so that no two links have it."""
    taken = _taken_over(linked, holder.link.deleted_at)
    return replace(taken, let_go=holder.model_copy(update={"link": holder.link.without_row}))


def _taken_over(linked: Snapshot, deleted_at: datetime | None) -> Snapshot:
    """The deletion mark goes along: the row is inactive for that reason."""
    return replace(linked, link=linked.link.model_copy(update={"deleted_at": deleted_at}), taken_over=True)
