"""Whether what was read can be believed, and which bases count under the present conditions.

The table "Trust" stands in docs/architecture.md.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from shared.domain.base import NEWS, Base
from shared.domain.blocked import Blocked, held_back
from shared.domain.decide.older import deletion_is_undone, gone_back
from shared.domain.decide.plan import Plan, Wait, held
from shared.domain.decide.situation import PATIENCE, Context, Snapshot
from shared.domain.model import Record, Side, is_before, is_until
from shared.domain.schema.mapping import EntityMapping
from shared.errors import NoEffect, NotYetVisible, RecordGone, RecordMissing, RowReplaced, WentBack


def doubt(snapshot: Snapshot, context: Context) -> Plan | Wait | None:
    """The reason not to decide from a snapshot.

    Returns:
        A wait, as the side may lag, until `PATIENCE` is over; then a plan that parks the record; None where everything
        that was read can be believed, or where an operator ordered to take it for new.
    """
    # Where Dynamics counts, as the CMMS was restored, a row that is to be taken for new is not made again there.
    if context.recreate and not (context.prefer == "dynamics" and _row_is_absent(snapshot, context)):
        return None
    for check in _CHECKS:
        if check.applies(snapshot, context):
            block = check.block(snapshot)
            if context.attempts < check.patience:
                return Wait(NotYetVisible(f"{block.error.message} It may only lag, and is read again first."))
            return held(snapshot, block)
    return None


def trusted(snapshot: Snapshot, context: Context) -> dict[str, Base]:
    """The bases that count.

    Returns:
        Those that were taken under the present rule of their field, or need none. From a ledger that is older than the
        sides, only those of which both sides hold what they agreed on: whatever happened in between is over. Where a
        person replays what had no effect, what an unclear write was to carry counts as a change once more.
    """
    told = snapshot.link.restored
    behind = ledger_is_behind(snapshot) if told is None else told == "ledger" and not _is_of_now(snapshot)
    anew, again = context.recreate or behind, NoEffect.reason in context.insists_on
    return {
        name: base.as_news if again else base
        for name, base in snapshot.link.bases.items()
        if _is_taken_by(context.entity, name, base) and not (anew and _has_changed(snapshot, context, name, base))
    }


def _has_changed(snapshot: Snapshot, context: Context, name: str, base: Base) -> bool:
    """Whether a side does not hold, or does not say, what both agreed on; an unclear base is no agreement."""
    key = context.entity.key.name
    held = (snapshot.cmms.held(key, name, NEWS), snapshot.row.held(key, name, NEWS))
    return base.unclear is not None or NEWS in held or held != (base.cmms, base.dynamics)


def _is_taken_by(entity: EntityMapping, name: str, base: Base) -> bool:
    """Whether a base was taken under the present rule of its field; a state that nobody said needs no rule."""
    unsaid = name in entity.state_fields and base.cmms is None
    return unsaid or base.rule == entity.fingerprints.get(name)


def _is_of_now(snapshot: Snapshot) -> bool:
    """Whether the ledger saw the very states that both sides show, or announced their last change: it lacks nothing."""
    link = snapshot.stored.link

    def is_known(shown: Record, version: object) -> bool:
        ours = shown.untouched_since in link.announced
        return version is not None and (ours or link.seen.after(shown) == link.seen)

    return is_known(snapshot.row, snapshot.row.version) and is_known(snapshot.cmms, snapshot.cmms.changed_at)


def ledger_is_behind(snapshot: Snapshot) -> bool:
    """Whether a side shows an operation that the link does not know: the ledger was restored, or lost a commit.

    A row that shows none any more has lost what both last agreed on just as well.
    """
    link = snapshot.link
    shown = {snapshot.row.last_operation, snapshot.cmms.last_operation}
    known = link.announced | {link.seen.stamp, link.seen.operation, None}
    bare = snapshot.row.operations == () and link.seen.stamp is not None
    return bool(link.bases) and (bare or not shown <= known)


def _unexplained(snapshot: Snapshot) -> list[Side]:
    """The sides that went back without an operator's word that they, or the ledger, were restored."""
    told = snapshot.link.restored
    # A deletion is the CMMS's own word: no restored backup takes it back without a person.
    return [side for side in gone_back(snapshot) if told not in {side, "ledger"} or deletion_is_undone(snapshot)]


def _has_gone_back(snapshot: Snapshot, _: Context) -> bool:
    return bool(_unexplained(snapshot))


def _went_back(snapshot: Snapshot) -> Blocked:
    side = _unexplained(snapshot)[0]
    name = {"dynamics": "Dynamics", "cmms": "The CMMS"}[side]
    error = WentBack(
        f"{name} shows an older state of {snapshot.key} than the ledger has seen, or goes on from one: it was probably"
        " restored from a backup. Decide which side's values count: see the runbook."
    )
    return held_back(side, (error.reason, side), error)


def _was_made_again(snapshot: Snapshot, context: Context) -> bool:
    row, seen = snapshot.row, snapshot.link.seen
    if snapshot.link.restored == "dynamics":
        return False
    # Where the mapping writes the column that says when a row was made, the column proves nothing; but a create that
    # arrives late shows itself once more, and is no state that a lagging read shows.
    first = row.untouched_since == seen.first_stamp and seen.first_stamp not in {None, seen.stamp}
    late = first and not is_until(row.version, seen.row_version)
    return late or (context.entity.tells_creation and is_before(seen.row_made, row.created))


def _made_again(snapshot: Snapshot) -> Blocked:
    row, link = snapshot.row, snapshot.link
    error = RowReplaced(
        f"The row {row.id} of {link.key} was deleted in Dynamics and then made again. Compare both sides; an"
        " operator's resync with --recreate takes the row for new, differences are then on record."
    )
    return held_back("dynamics", (error.reason, str(row.created), row.last_operation), error)


def _lacks_a_record(snapshot: Snapshot, context: Context) -> bool:
    """Whether the CMMS was asked for the record and has none."""
    return not (snapshot.cmms.exists or context.one_way)


def _was_made_late(snapshot: Snapshot, context: Context) -> bool:
    """Whether a row that shows a write of ours has no record that anybody knows: it was a record's, and is no new one.

    A create of ours arrived after its record had met another row; or a restored ledger forgot the row's record.
    """
    unknown = snapshot.link.cmms_id is None
    return _lacks_a_record(snapshot, context) and unknown and bool(snapshot.row.operations)


def _made_late(snapshot: Snapshot) -> Blocked:
    row = snapshot.row
    error = RowReplaced(
        f"The row {row.id} with the key {row.key} shows a write of ours, and the ledger does not know its record: the"
        " write arrived late, or the ledger was restored. Delete the row in Dynamics, give it its record's key, or have"
        " a record made of it in the CMMS with an operator's resync --recreate."
    )
    return held_back("dynamics", (error.reason, row.operations), error)


def _record_was_made_late(snapshot: Snapshot, _: Context) -> bool:
    """Whether a create of ours made the record, for a row that the ledger knows as another record's, or as nobody's."""
    return snapshot.link.row_id is None and not snapshot.origin.is_free


def _record_made_late(snapshot: Snapshot) -> Blocked:
    record, operations = snapshot.cmms, snapshot.cmms.operations
    error = RowReplaced(
        f"The record {record.key} (id {record.id}) was made in the CMMS from the row {snapshot.origin.row.id}, which"
        " the ledger knows as another record's, or as nobody's: the write arrived late, or the record was deleted and"
        " lives again. Delete the record in the CMMS; or delete the row in Dynamics and replay, for a new one; or, if"
        " the other record was deleted, an operator's resync with --recreate has this one take over the row,"
        " differences are then on record."
    )
    return held_back("cmms", (error.reason, operations), error)


def _row_is_forgotten(snapshot: Snapshot, _: Context) -> bool:
    """Whether a record shows a write of ours that its link does not know, and no row is its: it had one."""
    link = snapshot.link
    alone = link.row_id is None and link.deleted_at is None and not snapshot.exact
    return alone and snapshot.cmms.last_operation not in {None, link.seen.operation}


def _row_forgotten(snapshot: Snapshot) -> Blocked:
    record, operations = snapshot.cmms, snapshot.cmms.operations
    error = RowReplaced(
        f"The record {record.key} (id {record.id}) shows a write of ours, so it had a row, and the ledger does not know"
        " which: the ledger was restored, or the row deleted at once. Give its row this key in Dynamics, and replay; or"
        " if it has none any more delete the record, or have a row made with an operator's resync --recreate."
    )
    return held_back("cmms", (error.reason, operations), error)


def _record_is_absent(snapshot: Snapshot, context: Context) -> bool:
    known = snapshot.link.cmms_id is not None
    deleted = snapshot.link.is_deleted(snapshot.cmms, said=context.said_deleted)
    return known and _lacks_a_record(snapshot, context) and not deleted


def _record_missing(snapshot: Snapshot) -> Blocked:
    error = RecordMissing(
        f"The CMMS no longer shows the record {snapshot.link.key}, and does not say that it was deleted. If it was,"
        " deactivate the row in Dynamics; else make the record visible to the integration again."
    )
    return held_back("cmms", error.reason, error)


def _row_is_absent(snapshot: Snapshot, context: Context) -> bool:
    link = snapshot.link
    pending = link.create_of("dynamics") is not None
    expected = link.row_id is not None and not pending and link.restored != "dynamics"
    # A person may have made another row with the record's key.
    replaced = bool(snapshot.candidates) and (context.said_row_gone or context.attempts >= PATIENCE)
    return snapshot.cmms.living and expected and not (snapshot.row.exists or replaced)


def _row_was_deleted(snapshot: Snapshot, context: Context) -> bool:
    return context.said_row_gone and _row_is_absent(snapshot, context)


def _row_gone(snapshot: Snapshot) -> Blocked:
    link = snapshot.link
    error = RecordGone(
        f"The row {link.row_id} of {link.key} was deleted in Dynamics, and the CMMS still has the record. Delete the"
        " record there, or have the row created again with an operator's resync --recreate."
    )
    return held_back("dynamics", link.row_id, error)


class _Check(NamedTuple):
    """A condition under which nothing is decided from a snapshot, and what the record is then parked for.

    `patience` is the number of attempts for which what the condition looks at may come from a list read that lags: it
    is read again first.
    """

    applies: Callable[[Snapshot, Context], bool]
    block: Callable[[Snapshot], Blocked]
    patience: int


_CHECKS: Final = (
    _Check(_has_gone_back, _went_back, patience=PATIENCE),
    _Check(_was_made_again, _made_again, patience=0),
    _Check(_was_made_late, _made_late, patience=PATIENCE),
    _Check(_record_was_made_late, _record_made_late, patience=0),
    _Check(_row_is_forgotten, _row_forgotten, patience=PATIENCE),
    _Check(_row_was_deleted, _row_gone, patience=0),
    _Check(_row_is_absent, _row_gone, patience=PATIENCE),
    _Check(_record_is_absent, _record_missing, patience=PATIENCE),
)
"""In their order: the first one that applies decides."""
