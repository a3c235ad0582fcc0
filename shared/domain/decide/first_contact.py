"""The only time that the business key matches anything: a record whose row is not known, or is gone."""

from dataclasses import dataclass, replace

from shared.domain.blocked import held_by_key
from shared.domain.decide.key_conflict import key_conflict
from shared.domain.decide.plan import Decision, being_written, held
from shared.domain.decide.situation import Candidate, Context, Snapshot
from shared.domain.link import Seen, Stored
from shared.errors import KeyNotUsable


@dataclass(frozen=True)
class TakenOver:
    """A snapshot of a record that takes over the row of a deleted record; `let_go` is that record's link afterwards."""

    snapshot: Snapshot
    let_go: Stored


def meet(snapshot: Snapshot, context: Context) -> Snapshot | TakenOver | Decision | None:
    """Find the row of a living record by its key.

    Returns:
        The snapshot with the row; a take-over; a plan or a wait where the key is another row's; None where Dynamics
        has no row for the key, so that one may be created.
    """
    where = f"{context.entity.key.column} in {context.entity.table}"
    exact = [one for one in snapshot.candidates if snapshot.cmms is not None and one.row.key == snapshot.cmms.key]
    if len(exact) > 1:
        rows = ", ".join(one.row.id for one in exact)
        error = KeyNotUsable(
            f"{len(exact)} rows have the same {where}: {rows}. Keep one of them, and activate the alternate key"
            f" {context.entity.alternate_key}.",
            field=context.entity.key.name,
        )
        return held(snapshot, held_by_key(error))
    if not exact and not snapshot.candidates:
        return None
    candidate = exact[0] if exact else snapshot.candidates[0]
    if not exact or (candidate.holder is not None and not candidate.is_abandoned):
        return key_conflict(snapshot, candidate, context)
    if candidate.holder is not None:
        if (intent := candidate.holder.link.live_intent(context.now)) is not None:
            return being_written(intent, candidate.holder.link, context)
        return _take_over(snapshot, candidate, candidate.holder)
    return _linked(snapshot, candidate)


def _linked(snapshot: Snapshot, candidate: Candidate) -> Snapshot:
    """Both meet without bases: equal values agree, a value beats null, different values are conflicts."""
    seen = Seen(cmms_version=snapshot.link.seen.cmms_version, operation=snapshot.link.seen.operation)
    link = snapshot.link.model_copy(update={"row_id": candidate.row.id, "bases": {}, "intents": (), "seen": seen})
    return replace(snapshot, link=link, row=candidate.row)


def _take_over(snapshot: Snapshot, candidate: Candidate, holder: Stored) -> TakenOver:
    """The old link lets go of the row. Its deletion mark goes along: the row is inactive for that reason."""
    old = holder.link
    link = _linked(snapshot, candidate).link.model_copy(update={"deleted_at": old.deleted_at})
    taken = replace(snapshot, link=link, row=candidate.row)
    return TakenOver(taken, holder.model_copy(update={"link": old.without_row}))
