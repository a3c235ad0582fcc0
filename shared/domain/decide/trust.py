"""Whether what was read can be believed, and which bases count under the present conditions.

The table "Trust" stands in docs/architecture.md.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from shared.domain.blocked import RECORD, Blocked, held_back
from shared.domain.decide.plan import Plan, Wait, held
from shared.domain.decide.situation import PATIENCE, Context, Snapshot
from shared.domain.link import Base
from shared.domain.model import Side
from shared.errors import NotYetVisible, RecordGone, RecordMissing, RowReplaced, WentBack

OPERATIONS: Final = 20
"""How many of our last writes the CMMS shows of a record, by its contract."""


def doubt(snapshot: Snapshot, context: Context) -> Plan | Wait | None:
    """The reason not to decide from a snapshot.

    Returns:
        A wait, as the side may lag, until `PATIENCE` is over; then a plan that parks the record; None where everything
        that was read can be believed, or where an operator ordered to take it for new.
    """
    if context.recreate:
        return None
    for check in _CHECKS:
        if check.applies(snapshot, context):
            block = check.block(snapshot)
            if check.may_lag and context.attempts < PATIENCE:
                return Wait(NotYetVisible(f"{block.error.message} It may only lag, and is read again first."))
            return held(snapshot, block)
    return None


def trusted(snapshot: Snapshot, context: Context) -> dict[str, Base]:
    """The bases that count.

    Returns:
        Those that were taken under the present rule of their field; none from a ledger that is older than the sides.
        Where a person insists, what an unclear write was to carry counts as a change once more.
    """
    told = snapshot.link.restored
    if context.recreate or told == "ledger" or (told is None and ledger_is_behind(snapshot)):
        return {}
    rules = context.entity.fingerprints
    bases = {name: base for name, base in snapshot.link.bases.items() if base.rule == rules.get(name)}
    return {name: base.as_news for name, base in bases.items()} if context.insist else bases


def ledger_is_behind(snapshot: Snapshot) -> bool:
    """Whether a side shows an operation that the link does not know: the ledger was restored, or lost a commit."""
    link = snapshot.link
    shown = {snapshot.row.last_operation, snapshot.cmms.last_operation}
    known = {intent.id for intent in link.intents} | {link.seen.stamp, link.seen.operation, None}
    return bool(link.bases) and not shown <= known


def gone_back(snapshot: Snapshot) -> tuple[Side, ...]:
    """The sides that show an older state than the link has seen, or did so when the record was parked for it."""
    row_is_older = _row_is_older(snapshot) or was_edited_after_a_restore(snapshot)
    older: dict[Side, bool] = {"dynamics": row_is_older, "cmms": _record_is_older(snapshot)}
    found = tuple(side for side, is_older in older.items() if is_older)
    parked = snapshot.link.park_of(RECORD)
    if not found and parked.reason == WentBack.reason and _is_newer(snapshot, parked.side):
        # Edits since a restore make a side's state new again, and what the restore took back is in it still.
        return (parked.side,)
    return found


def _older[V: (int, datetime)](shown: V | None, seen: V | None) -> bool:
    """Whether a number or instant is before the one that was seen; False where either is unknown."""
    return shown is not None and seen is not None and shown < seen


def _recounted(count: int | None, at: datetime | None, seen: int | None, seen_at: datetime | None) -> bool:
    """Whether the change with the number that was seen is another one by now: the side went on from a backup."""
    return count is not None and count == seen and None not in {at, seen_at} and at != seen_at


def _row_is_older(snapshot: Snapshot) -> bool:
    row, seen = snapshot.row, snapshot.link.seen
    recounted = _recounted(row.version, row.modified, seen.row_version, seen.row_modified)
    return recounted or _older(row.version, seen.row_version)


def was_edited_after_a_restore(snapshot: Snapshot) -> bool:
    """Whether the row goes on from a backup that may lack what the link saw: its number then tells nothing."""
    row, seen, mark = snapshot.row, snapshot.link.seen, snapshot.high_water
    # What was seen after the restore has lost nothing in it.
    return (
        seen.row_version is not None
        and mark.is_above(row.version, row.modified)
        and not mark.is_above(seen.row_version, seen.row_modified)
    )


def _record_is_older(snapshot: Snapshot) -> bool:
    record, seen = snapshot.cmms, snapshot.link.seen
    if not record.living or _older(record.changed_at, seen.cmms_version):
        # What is absent or deleted is no older state.
        return record.living
    if snapshot.link.deleted_at is not None:
        # What the CMMS counts and keeps of a record may have gone with it.
        return _deletion_is_undone(snapshot)
    recounted = _recounted(record.revision, record.changed_at, seen.cmms_revision, seen.cmms_version)
    return recounted or _older(record.revision, seen.cmms_revision) or _lost_a_write(snapshot)


def _is_newer(snapshot: Snapshot, side: Side) -> bool:
    """Whether a living side shows another state than the one that was seen."""
    row, record, link = snapshot.row, snapshot.cmms, snapshot.link
    if side == "dynamics":
        return row.exists and row.version != link.seen.row_version
    # A record that was deleted, and is changed where it lives again, is meant to live.
    return record.living and link.deleted_at is None and record.changed_at != link.seen.cmms_version


def _lost_a_write(snapshot: Snapshot) -> bool:
    """Whether the CMMS no longer shows a write of ours: an edit since a restore makes the version new again."""
    taken, last = snapshot.cmms.operations, snapshot.link.seen.operation
    # The CMMS shows its last 20: where it shows as many newer ones, the write may only have left the list.
    return taken is not None and last not in {None, *taken} and len(taken) < OPERATIONS


def _deletion_is_undone(snapshot: Snapshot) -> bool:
    """Whether a deleted record lives again as it was before its deletion; a record made again has a newer version."""
    cmms, deleted_at = snapshot.cmms, snapshot.link.deleted_at
    of_before = cmms.changed_at == deleted_at or _older(cmms.changed_at, deleted_at)
    return cmms.living and deleted_at is not None and of_before


def _unexplained(snapshot: Snapshot) -> list[Side]:
    """The sides that went back without an operator's word that they, or the ledger, were restored."""
    told = snapshot.link.restored
    # A deletion is the CMMS's own word: no restored backup takes it back without a person.
    return [side for side in gone_back(snapshot) if told not in {side, "ledger"} or _deletion_is_undone(snapshot)]


def _has_gone_back(snapshot: Snapshot, _: Context) -> bool:
    return bool(_unexplained(snapshot))


def _went_back(snapshot: Snapshot) -> Blocked:
    side = _unexplained(snapshot)[0]
    name = {"dynamics": "Dynamics", "cmms": "The CMMS"}[side]
    error = WentBack(
        f"{name} shows an older state of {snapshot.link.key} than the ledger has seen, or goes on from one: it was"
        " probably restored from a backup. Decide which side's values count: see the runbook."
    )
    return held_back(side, (error.reason, side), error)


def _was_made_again(snapshot: Snapshot, context: Context) -> bool:
    row, link = snapshot.row, snapshot.link
    # Where the mapping writes the column that says when a row was made, the column proves nothing.
    proves = context.entity.tells_creation and link.restored != "dynamics"
    return proves and _older(link.seen.row_made, row.created)


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
    """Whether a create of ours made the record: for a row that had found another record before the create arrived."""
    record = snapshot.cmms
    # Its only change is a write of ours; of a record that a person made, and a restored ledger forgot, it is not.
    made_by_us = record.by_us and len(record.operations or ()) == 1 and (record.revision or 1) == 1
    near = [one for one in snapshot.candidates if one.is_abandoned and one.row.key == record.key]
    return made_by_us and snapshot.link.row_id is None and len(near) == 1


def _record_made_late(snapshot: Snapshot) -> Blocked:
    record, operations = snapshot.cmms, snapshot.cmms.operations
    error = RowReplaced(
        f"The record {record.key} (id {record.id}) was made in the CMMS by a write of ours that probably arrived late:"
        " a record that was deleted since has had its row. Delete the record in the CMMS; or, if it is meant, an"
        " operator's resync with --recreate has it take over the row, differences are then on record."
    )
    return held_back("cmms", (error.reason, operations), error)


def _record_is_absent(snapshot: Snapshot, context: Context) -> bool:
    link = snapshot.link
    expected = link.cmms_id is not None and link.deleted_at is None
    return _lacks_a_record(snapshot, context) and expected and not context.said_deleted


def _record_missing(snapshot: Snapshot) -> Blocked:
    error = RecordMissing(
        f"The CMMS no longer shows the record {snapshot.link.key}, and does not say that it was deleted. If it was,"
        " deactivate the row in Dynamics; else make the record visible to the integration again."
    )
    return held_back("cmms", error.reason, error)


def _row_is_absent(snapshot: Snapshot, context: Context) -> bool:
    link = snapshot.link
    pending = any(intent.creates for intent in link.intents_of("dynamics"))
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

    `may_lag` tells that what the condition looks at may come from a list read that lags: it is read again first.
    """

    applies: Callable[[Snapshot, Context], bool]
    block: Callable[[Snapshot], Blocked]
    may_lag: bool


_CHECKS: Final = (
    _Check(_has_gone_back, _went_back, may_lag=True),
    _Check(_was_made_again, _made_again, may_lag=False),
    _Check(_was_made_late, _made_late, may_lag=True),
    _Check(_record_was_made_late, _record_made_late, may_lag=False),
    _Check(_row_was_deleted, _row_gone, may_lag=False),
    _Check(_row_is_absent, _row_gone, may_lag=True),
    _Check(_record_is_absent, _record_missing, may_lag=True),
)
"""In their order: the first one that applies decides."""
