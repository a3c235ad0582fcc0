"""A record that one side lacks is made there, with everything that the other side knows of it."""

from collections.abc import Sequence

from shared.domain.deletion import is_inactive
from shared.domain.ledger import Entry
from shared.domain.merge import Blocked, digest
from shared.domain.model import CmmsRecord, DynamicsRecord, Record, Side, Value
from shared.domain.planned import Plan, SideWrite
from shared.domain.schema.mapping import EntityMapping
from shared.errors import PermanentError


def create_in_dynamics(entity: EntityMapping, entry: Entry, cmms: CmmsRecord, refused: Sequence[Blocked]) -> Plan:
    """What the CMMS says, translated; what cannot be translated is parked, and the rest is created."""
    values: dict[str, Value] = {}
    sources: dict[str, Value] = {}
    blocked = [Blocked(name, "cmms", bad.digest, bad.error) for name, bad in cmms.errors.items()]
    still = _still_said(refused, "cmms", cmms)
    blocked.extend(still)
    stopped = {block.field for block in still}
    unfinished = False
    born = entity.active.state if entity.active is not None else 0
    for rule in entity.fields.values():
        if rule.state_column is not None and entity.active is not None:
            # A row is born with this state, which nobody has said: whatever the CMMS says of it later is news.
            values[rule.name], sources[rule.name] = str(entity.active.status), None
        if rule.name in stopped or rule.name not in cmms.values:
            continue
        value = cmms.values[rule.name]
        if value is None:
            sources[rule.name] = None
            continue
        try:
            translated = rule.to_dynamics(value)
        except PermanentError as error:
            blocked.append(Blocked(rule.name, "cmms", digest(value), error))
            continue
        if rule.state_column is not None and rule.state_of(translated) != born:
            # A row is born active: a later state takes a second write.
            sources[rule.name] = None
            unfinished = True
            continue
        values[rule.name] = translated
        sources[rule.name] = value
    write = SideWrite(create=True, values=values, sources=sources, unfinished=unfinished)
    return Plan(_reborn(entry, cmms), cmms=cmms, to_dynamics=write, blocked=tuple(blocked))


def _reborn(entry: Entry, cmms: CmmsRecord) -> Entry:
    """What was agreed with an earlier row means nothing for a new one."""
    update: dict[str, object] = {"deleted_at": None, "moved_to": None, "bases": {}, "row_made": None}
    return entry.model_copy(update={**update, "cmms_id": cmms.id or entry.cmms_id})


def create_in_cmms(entity: EntityMapping, entry: Entry, row: DynamicsRecord, refused: Sequence[Blocked]) -> Plan:
    """Every field is copied, whatever its direction: a record is born with what is known of it."""
    if is_inactive(entity, row) and not any(rule.state_column for rule in entity.fields.values()):
        # The CMMS could not see that it is retired: creating it there would revive it.
        return Plan(entry, row=row)
    values: dict[str, Value] = {}
    sources: dict[str, Value] = {}
    blocked = [Blocked(name, "dynamics", bad.digest, bad.error) for name, bad in row.errors.items()]
    blocked.extend(_still_said(refused, "dynamics", row))
    stopped = {block.field for block in blocked}
    for rule in entity.fields.values():
        if rule.name in stopped or rule.name not in row.values:
            continue
        value = row.values[rule.name]
        try:
            translated = rule.to_cmms(value)
        except PermanentError as error:
            blocked.append(Blocked(rule.name, "dynamics", digest(value), error))
            continue
        sources[rule.name] = value
        if translated is not None:
            values[rule.name] = translated
    write = SideWrite(create=True, values=values, sources=sources)
    return Plan(entry.model_copy(update={"dynamics_id": row.id}), row=row, to_cmms=write, blocked=tuple(blocked))


def _still_said(refused: Sequence[Blocked], side: Side, source: Record) -> list[Blocked]:
    """The refusals of values that the source has not replaced since."""
    return [b for b in refused if (b.side, b.digest) == (side, digest(source.values.get(b.field)))]
