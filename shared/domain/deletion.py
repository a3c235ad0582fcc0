"""A record that the CMMS no longer has: its row is deactivated, never deleted, and only on the CMMS's own word."""

from datetime import datetime

from shared.domain.ledger import Entry
from shared.domain.merge import Blocked, digest
from shared.domain.model import CmmsRecord, DynamicsRecord
from shared.domain.planned import RECORD, Plan, SideWrite, unusable
from shared.domain.renamed import is_aside
from shared.domain.schema.mapping import EntityMapping
from shared.errors import KeyNotUsable, RecordMissing


def plan_deletion(
    entity: EntityMapping, entry: Entry, cmms: CmmsRecord | None, row: DynamicsRecord | None, now: datetime
) -> Plan:
    """The CMMS no longer has the record: deactivate the row, and remember not to create it again."""
    at = cmms.version.at if cmms and cmms.version else (entry.deleted_at or now)
    still = tuple(intent for intent in entry.intents if intent.side == "dynamics")
    remembered = entry.model_copy(update={"deleted_at": at, "intents": still})
    if row is not None and row.id != entry.dynamics_id and not is_inactive(entity, row):
        unknown = KeyNotUsable(
            f"The CMMS deleted or renamed the record {entry.key}, and the row {row.id}, which was never its row, has"
            f" its {entity.key.column}. Create the record in the CMMS again, or give the row another key.",
            field=entity.key.name,
            row_id=row.id,
        )
        return Plan(remembered, cmms=cmms, row=row, blocked=(unusable(unknown),))
    # A rename that the row has not followed yet: under the old key it would be in the way of that key's next record.
    old = row is not None and row.is_open and row.key != entry.key and row.key in {entry.renamed_from, row.id}
    # A memory that was put aside is under no key that a row could have.
    restore = old and not is_aside(entry.key)
    release = old and row is not None and is_aside(entry.key) and row.key != row.id
    inactive = None if entity.on_delete == "report" or row is None or is_inactive(entity, row) else entity.inactive
    if row is None or (inactive is None and not restore and not release):
        return Plan(remembered, cmms=cmms, row=row)
    state = (inactive.state, inactive.status) if inactive is not None else None
    write = SideWrite(create=False, values={}, sources={}, state=state, restore_key=restore, release_key=release)
    return Plan(remembered, cmms=cmms, row=row, to_dynamics=write)


def is_inactive(entity: EntityMapping, row: DynamicsRecord) -> bool:
    """Whether the row is in the state of deleted records."""
    return entity.inactive is not None and row.state == entity.inactive.state


def plan_missing(entry: Entry, row: DynamicsRecord | None) -> Plan:
    """A list that leaves a known record out may be filtered, hidden or broken: nothing is deactivated on its word.

    The CMMS leaves a tombstone, or a message, where a record was deleted.
    """
    missing = RecordMissing(
        f"The CMMS no longer shows the record {entry.key}, and does not say that it was deleted. If it was, deactivate"
        " the row in Dynamics; else make it visible to the integration again.",
    )
    return Plan(entry, row=row, blocked=(Blocked(RECORD, "cmms", digest(missing.reason), missing),))
