"""The only time that the business key matches anything: a record whose row is not known, or is gone."""

from collections.abc import Sequence
from copy import replace
from dataclasses import dataclass

from shared.domain.blocked import held_by_key
from shared.domain.decide.create import create_in_dynamics
from shared.domain.decide.delete import is_inactive, states_apart
from shared.domain.decide.key_conflict import key_conflict
from shared.domain.decide.plan import Decision, Plan, Wait, being_written, held
from shared.domain.decide.situation import Candidate, Context, Snapshot
from shared.domain.link import ConflictRecord, Link, Stored
from shared.domain.model import DynamicsRecord
from shared.errors import Conflict, KeyNotUsable


@dataclass(frozen=True)
class Met:
    """The row of a record, and the record's link with that row.

    `holder` is the link of the deleted record whose row this still is.
    """

    link: Link
    row: DynamicsRecord
    holder: Stored | None = None

    @property
    def is_taken_over(self) -> bool:
        """Whether the row was a deleted record's until now."""
        return self.link.takes_over is not None


def meet(snapshot: Snapshot, context: Context) -> Met | Decision:
    """Find the row of a living record by its key.

    Returns:
        The row, to be merged without bases; a plan that creates a row where Dynamics has none for the key; a plan or a
        wait where the key is another row's.
    """
    exact, candidates = snapshot.exact, snapshot.candidates
    if (error := context.entity.key_error(snapshot.cmms.key)) is not None:
        return held(snapshot, held_by_key(error))
    if not candidates:
        return _unseen(snapshot) if context.key_taken else create_in_dynamics(snapshot, context)
    if not exact:
        return key_conflict(snapshot, candidates[0], context)
    if len(exact) > 1:
        return _several(snapshot, exact, context)
    if exact[0].is_free:
        return _free(snapshot, exact[0].row, context)
    if exact[0].is_abandoned:
        return _abandoned(snapshot, exact[0], context)
    return key_conflict(snapshot, exact[0], context)


def _unseen(snapshot: Snapshot) -> Wait:
    """Wait where Dynamics has refused a create's key as taken, and shows no row that has the record's key.

    The list read may lag; or the create is in doubt, so that its repeat says a key that the record has left.
    """
    key = snapshot.cmms.key
    return Wait(
        Conflict(f"A row of {key} is not made, as Dynamics says that its key is taken, and shows no other row.")
    )


def _free(snapshot: Snapshot, row: DynamicsRecord, context: Context) -> Met:
    """Link a row that no link has."""
    # A take-over that broke off after the row had been let go: announced by this record, or by one that has left the
    # key since. We make no row inactive but a deleted record's; where an operator chose a side, the row's state counts.
    announced = snapshot.link.takes_over == row.id
    let_go = row.by_us and is_inactive(context.entity, row) and context.prefer is None
    met = _met(snapshot, row, taken_over=let_go or announced)
    if announced or not let_go:
        return met
    # A ledger that was restored may have forgotten the row's record, whose state this then is.
    return replace(met, link=met.link.recording(_states_on_record(snapshot, row, context)))


def _states_on_record(snapshot: Snapshot, row: DynamicsRecord, context: Context) -> list[ConflictRecord]:
    said, held = snapshot.cmms.values, row.values
    return [
        ConflictRecord(field=name, winner="cmms", won=said[name], lost=held[name], why="taken_over", at=context.now)
        for name in states_apart(context.entity, said, held)
    ]


def _abandoned(snapshot: Snapshot, candidate: Candidate, context: Context) -> Met | Decision:
    """Take the row of a deleted record over, once the record's own link has announced it."""
    row, holder = candidate.row, candidate.holder
    if (wait := being_written(holder.link, context)) is not None:
        return wait
    if snapshot.link.takes_over != row.id:
        # Once the row is let go, nothing but this tells whose it was, and why it is inactive.
        announced = snapshot.link.model_copy(update={"takes_over": row.id})
        return Plan(snapshot.stored, announced, unfinished=True)
    # The old link lets go of the row first, so that no two links have it.
    return replace(_met(snapshot, row, taken_over=True), holder=holder)


def _several(snapshot: Snapshot, exact: Sequence[Candidate], context: Context) -> Plan:
    rows, entity = ", ".join(one.row.id for one in exact), context.entity
    error = KeyNotUsable(
        f"{len(exact)} rows have the same {entity.key.column} in {entity.table}: {rows}. Keep one of them, and activate"
        f" the alternate key {entity.alternate_key}.",
        field=entity.key.name,
    )
    return held(snapshot, held_by_key(error))


def _met(snapshot: Snapshot, row: DynamicsRecord, *, taken_over: bool) -> Met:
    """Both meet without bases: equal values agree, a value beats null, different values are conflicts."""
    takes_over = row.id if taken_over else None
    link = snapshot.link.model_copy(update={"row_id": row.id, "takes_over": takes_over, "bases": {}, "intents": ()})
    return Met(link, row)
