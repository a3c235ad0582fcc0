"""Whether a side shows an older state than the link has seen: it went on from a backup."""

from typing import Final

from shared.domain.base import NEWS
from shared.domain.blocked import RECORD
from shared.domain.decide.situation import Snapshot
from shared.domain.model import Side, is_before, is_until
from shared.errors import WentBack

OPERATIONS: Final = 20
"""How many of our last writes the CMMS shows of a record, by its contract."""


def gone_back(snapshot: Snapshot) -> tuple[Side, ...]:
    """The sides that show an older state than the link has seen, or did so when the record was parked for it."""
    older: dict[Side, bool] = {"dynamics": _row_is_older(snapshot), "cmms": _record_is_older(snapshot)}
    found = tuple(side for side, is_older in older.items() if is_older or was_edited_after_a_restore(snapshot, side))
    parked = snapshot.link.park_of(RECORD)
    if not found and parked.reason == WentBack.reason and _is_newer(snapshot, parked.side):
        # Edits since a restore make a side's state new again, and what the restore took back is in it still.
        return (parked.side,)
    return found


def was_edited_after_a_restore(snapshot: Snapshot, side: Side) -> bool:
    """Whether a restored side was edited since, in a state that may lack what the link saw of it."""
    seen, restored = snapshot.link.seen, snapshot.restored.get(side)
    before, shown = {
        "dynamics": (seen.row_modified, snapshot.row.modified),
        "cmms": (seen.cmms_version, snapshot.cmms.changed_at),
    }[side]
    # What was seen after the restore lacks nothing.
    return is_until(before, restored) and is_before(restored, shown)


def deletion_is_undone(snapshot: Snapshot) -> bool:
    """Whether a deleted record lives again as it was before its deletion; a record made again has a newer version."""
    return is_until(snapshot.cmms.last_change.at, snapshot.link.deleted_at)


def _row_is_older(snapshot: Snapshot) -> bool:
    return snapshot.link.seen.row.is_undone(snapshot.row.last_change)


def _record_is_older(snapshot: Snapshot) -> bool:
    shown, seen = snapshot.cmms.last_change, snapshot.link.seen
    if is_before(shown.at, seen.cmms_version):
        return True
    if snapshot.link.deleted_at is not None:
        # What the CMMS counts and keeps of a record may have gone with it.
        return deletion_is_undone(snapshot)
    return seen.record.is_undone(shown) or _lost_a_write(snapshot) or _is_silently_other(snapshot)


def _is_newer(snapshot: Snapshot, side: Side) -> bool:
    """Whether a living side shows a newer state than the one that was seen."""
    link = snapshot.link
    if side == "dynamics":
        return is_before(link.seen.row_version, snapshot.row.version)
    # A record that was deleted, and is changed where it lives again, is meant to live.
    return link.deleted_at is None and is_before(link.seen.cmms_version, snapshot.cmms.last_change.at)


def _lost_a_write(snapshot: Snapshot) -> bool:
    """Whether the CMMS no longer shows a write of ours: an edit since a restore makes the version new again."""
    taken, last = snapshot.cmms.operations, snapshot.link.seen.operation
    # The CMMS shows its last 20: where it shows as many newer ones, the write may only have left the list.
    return taken is not None and last not in {None, *taken} and len(taken) < OPERATIONS


def _is_silently_other(snapshot: Snapshot) -> bool:
    """Whether a restored CMMS shows other values than were agreed, and no newer change.

    They may be those of before a bulk change, which gives no version.
    """
    link, record = snapshot.link, snapshot.cmms
    if "cmms" not in snapshot.restored or is_before(link.seen.cmms_version, record.changed_at):
        return False
    # What is parked did not travel when it was seen. Of a state that a row was born with, and that no record had said,
    # the CMMS has agreed on nothing yet.
    known = (link.bases.keys() - link.parked.keys()) & record.values.keys()
    return any(
        link.bases[name].cmms not in {record.values[name], NEWS} and not link.bases[name].is_of_dynamics_alone
        for name in known
    )
