"""What to do about one record, given both sides and the ledger's memory. Pure, no I/O.

The order of the questions matters: is the key usable, is the row the one we know, was either side deleted, does
either side lack the record, and only then, field by field, who changed.
"""

from collections.abc import Sequence
from datetime import datetime

from shared.domain.creation import create_in_cmms, create_in_dynamics
from shared.domain.deletion import plan_deletion, plan_missing
from shared.domain.ledger import Base, Entry
from shared.domain.merge import Blocked, digest
from shared.domain.model import CmmsRecord, DynamicsRecord
from shared.domain.planned import RECORD, Plan, Sides, SideWrite, unusable
from shared.domain.schema.mapping import EntityMapping
from shared.domain.update import plan_update
from shared.errors import KeyNotUsable, RecordGone

__all__ = ["RECORD", "Plan", "SideWrite", "Sides", "decide"]


def find_row(entity: EntityMapping, entry: Entry, sides: Sides) -> DynamicsRecord | None:
    """The one row that is this record.

    Raises:
        KeyNotUsable: Another row holds the key, several do, or one whose key differs only by case.
    """
    exact = [row for row in sides.rows if row.key == entry.key]
    where = f"{entity.key.column} in {entity.table}"
    if len(exact) > 1:
        raise KeyNotUsable(
            f"{len(exact)} rows have the same {where}: keep one of them, and activate the alternate key"
            f" {entity.alternate_key}.",
            field=entity.key.name,
        )
    if not exact and any(row.id != entry.dynamics_id for row in sides.rows):
        raise KeyNotUsable(
            f"A row's {where} differs from this key only by case or spaces: Dynamics takes them for the same."
            " Correct one of them.",
            field=entity.key.name,
        )
    row = exact[0] if exact else sides.bound
    if row is not None and sides.bound is not None and row.id != sides.bound.id:
        raise KeyNotUsable(
            f"This record is bound to the row {sides.bound.id}, but another row, {row.id}, now has its {where}."
            " Correct the key of one of them.",
            field=entity.key.name,
            row_id=row.id,
        )
    return row


def decide(
    entity: EntityMapping,
    entry: Entry,
    sides: Sides,
    now: datetime,
    *,
    cmms_writable: bool = True,
    announced_deleted: bool = False,
    recreate: bool = False,
    refused: Sequence[Blocked] = (),
) -> Plan:
    """Plan for one record whose old intents are settled.

    Args:
        entity: The record's mapping.
        entry: The ledger's memory, read before the sides.
        sides: Both sides.
        now: For conflict records.
        cmms_writable: False in one-way mode.
        announced_deleted: A message said that the CMMS deleted the record.
        recreate: An operator asked for a row that is gone to be created again.
        refused: What a side refused moments ago: it is left out and parked, as long as it would be sent again.
    """
    try:
        row = find_row(entity, entry, sides)
    except KeyNotUsable as error:
        return Plan(entry, blocked=(unusable(error),))
    fields = [block for block in refused if block.field != RECORD]
    plan = _decided(
        entity,
        entry,
        sides.cmms,
        row,
        now,
        cmms_writable=cmms_writable,
        announced_deleted=announced_deleted,
        recreate=recreate,
        refused=fields,
    )
    if whole := tuple(block for block in refused if block.field == RECORD and _again(block, entry, plan)):
        return Plan(entry, row=row, blocked=whole[:1])
    return plan


def _again(block: Blocked, entry: Entry, plan: Plan) -> bool:
    """Whether the plan would do again what was refused; the sides may have moved on since."""
    if isinstance(block.error, KeyNotUsable) and (plan.writes or plan.entry != entry):
        return True  # the ledger refused to store that
    write = plan.to_dynamics if block.side == "cmms" else plan.to_cmms
    return write is not None and write.digest == block.digest


def _decided(
    entity: EntityMapping,
    entry: Entry,
    cmms: CmmsRecord | None,
    row: DynamicsRecord | None,
    now: datetime,
    *,
    cmms_writable: bool,
    announced_deleted: bool,
    recreate: bool,
    refused: Sequence[Blocked],
) -> Plan:
    if row is not None and entry.dynamics_id not in {None, row.id}:
        # Another row has taken the place of one that is gone: the two sides meet for the first time.
        entry = entry.model_copy(update={"bases": _emptied(entry, cmms)})
    if cmms is not None and cmms.deleted:
        return plan_deletion(entity, entry, cmms, row, now)
    if cmms is None and cmms_writable and (entry.bases or entry.deleted_at):
        if entry.deleted_at or announced_deleted:
            return plan_deletion(entity, entry, None, row, now)
        return plan_missing(entry, row)
    if cmms is None:
        if row is None or not cmms_writable or "cmms" not in entity.create_in or entry.deleted_at:
            return Plan(entry, row=row)
        return create_in_cmms(entity, entry, row, refused)
    if row is None:
        return _without_row(entity, entry, cmms, refused, recreate=recreate)
    return plan_update(entity, entry, cmms, row, now, cmms_writable=cmms_writable, refused=refused)


def _emptied(entry: Entry, cmms: CmmsRecord | None) -> dict[str, Base]:
    """What a person emptied in the CMMS since the last agreement: against a new row that is a change, not a gap."""
    values = cmms.values if cmms is not None else {}
    return {
        name: Base(cmms=base.cmms, dynamics=None)
        for name, base in entry.bases.items()
        if base.cmms is not None and values.get(name, base.cmms) is None
    }


def _without_row(
    entity: EntityMapping, entry: Entry, cmms: CmmsRecord, refused: Sequence[Blocked], *, recreate: bool
) -> Plan:
    if entry.dynamics_id is not None and entry.dynamics_id != entry.pending_row and not recreate:
        gone = RecordGone(
            f"The row {entry.dynamics_id} was deleted in Dynamics, and the CMMS still has the record. Delete it"
            " there, or have it created again with an operator's resync.",
        )
        return Plan(entry, cmms=cmms, blocked=(Blocked(RECORD, "dynamics", digest(entry.dynamics_id), gone),))
    if "dynamics" not in entity.create_in:
        return Plan(entry, cmms=cmms)
    return create_in_dynamics(entity, entry, cmms, refused)
