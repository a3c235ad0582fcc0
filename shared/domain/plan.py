"""What to do about one record, given both sides and the ledger's memory. Pure, no I/O.

The order of the questions matters: is the key usable, is the row the one we know, was either side deleted, does
either side lack the record, and only then, field by field, who changed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from shared.domain.convergence import loops
from shared.domain.ledger import ConflictRecord, Entry, ParkedField
from shared.domain.mapping import EntityMapping
from shared.domain.merge import Blocked, Merged, Write, digest, merge
from shared.domain.model import CmmsRecord, DynamicsRecord, Record, Side, Value
from shared.errors import DoesNotConverge, KeyNotUsable, PermanentError, RecordClosed, RecordGone, RecordMissing

RECORD = "*"
"""The pseudo-field under which a whole record is parked."""


@dataclass(frozen=True)
class SideWrite:
    """A write for one side: `create`, or an update of the row as read.

    `sources` are the other side's values that this write makes agreed once it is confirmed, and `before` what the
    target holds. A state that a row cannot be born in has a source of None, so that the next merge sees it as changed;
    `unfinished` asks for that merge at once.
    """

    create: bool
    values: Mapping[str, Value]
    sources: Mapping[str, Value]
    before: Mapping[str, Value] = field(default_factory=dict)
    state: tuple[int | None, int] | None = None
    restore_key: bool = False
    unfinished: bool = False


@dataclass(frozen=True)
class Plan:
    """What to do: the entry to store first, then the writes; `blocked` is to be parked, once per value."""

    entry: Entry
    row: DynamicsRecord | None = None
    cmms: CmmsRecord | None = None
    to_dynamics: SideWrite | None = None
    to_cmms: SideWrite | None = None
    blocked: tuple[Blocked, ...] = ()
    merged: Merged = field(default_factory=Merged)

    @property
    def writes(self) -> bool:
        """Whether anything is to be written to either side."""
        return self.to_dynamics is not None or self.to_cmms is not None


@dataclass(frozen=True)
class Sides:
    """Both sides of one record as read after the ledger.

    `rows` are the rows that Dynamics takes for the key; `bound` is the row of the ledger's id, wherever its key went.
    """

    cmms: CmmsRecord | None
    rows: Sequence[DynamicsRecord] = ()
    bound: DynamicsRecord | None = None


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
        refused: Fields that a side refused moments ago: they are left out and parked.
    """
    try:
        row = find_row(entity, entry, sides)
    except KeyNotUsable as error:
        return Plan(entry, blocked=(Blocked(RECORD, "dynamics", digest(error.message), error),))
    if whole := tuple(block for block in refused if block.field == RECORD):
        return Plan(entry, row=row, blocked=whole)
    cmms = sides.cmms
    if row is not None and entry.dynamics_id not in {None, row.id}:
        # Another row has taken the place of one that is gone: the two sides meet for the first time.
        entry = entry.model_copy(update={"bases": {}})
    if cmms is not None and cmms.deleted:
        return _deleted(entity, entry, cmms, row, now)
    if cmms is None and cmms_writable and (entry.bases or entry.deleted_at):
        if entry.deleted_at or announced_deleted:
            return _deleted(entity, entry, None, row, now)
        return _missing(entry, row)
    if cmms is None:
        if row is None or not cmms_writable or "cmms" not in entity.create_in or entry.deleted_at:
            return Plan(entry, row=row)
        return _create_in_cmms(entity, entry, row, refused)
    if row is None:
        return _without_row(entity, entry, cmms, refused, recreate=recreate)
    return _both(entity, entry, cmms, row, now, cmms_writable=cmms_writable, refused=refused)


def _missing(entry: Entry, row: DynamicsRecord | None) -> Plan:
    """A list that leaves a known record out may be filtered, hidden or broken: nothing is deactivated on its word.

    The CMMS leaves a tombstone, or a message, where a record was deleted.
    """
    missing = RecordMissing(
        f"The CMMS no longer shows the record {entry.key}, and does not say that it was deleted. If it was, deactivate"
        " the row in Dynamics; else make it visible to the integration again.",
    )
    return Plan(entry, row=row, blocked=(Blocked(RECORD, "cmms", digest(missing.reason), missing),))


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
    return _create_in_dynamics(entity, entry, cmms, refused)


def _both(
    entity: EntityMapping,
    entry: Entry,
    cmms: CmmsRecord,
    row: DynamicsRecord,
    now: datetime,
    *,
    cmms_writable: bool,
    refused: Sequence[Blocked],
) -> Plan:
    reborn = entry.deleted_at is not None and entity.active is not None and _is_inactive(entity, row)
    if reborn:
        # We set the state ourselves when the record was deleted: nobody has said it, and nothing was agreed.
        stateful = {name for name, rule in entity.fields.items() if rule.state_column}
        unsaid = replace(row, values={name: None if name in stateful else held for name, held in row.values.items()})
        bases = {name: base for name, base in entry.bases.items() if name not in stateful}
        merged = merge(entity, cmms, unsaid, bases, now)
    else:
        merged = merge(entity, cmms, row, entry.bases, now)
    if not cmms_writable:
        # Nothing can be written to the CMMS: what Dynamics says there stays undecided, its bases unmoved.
        merged = replace(merged, writes=merged.to("dynamics"))
    opens = not row.is_open and _opens(entity, merged, reborn=reborn)
    waiting = opens and any(isinstance(block.error, RecordClosed) for block in merged.blocked)
    if opens:
        # The row is opened first; what it refused until then is decided by another round.
        merged = replace(
            merged, blocked=tuple(block for block in merged.blocked if not isinstance(block.error, RecordClosed))
        )
    merged = _without(merged, [*_endless(entry, cmms, row, merged, now), *refused])
    conflicts = list(merged.conflicts)
    restore = row.key != entry.key
    if restore and not row.is_open:
        restore, waiting = False, waiting or opens
        if not opens:
            merged = replace(merged, blocked=(*merged.blocked, _closed_key(entity, entry, row)))
    if restore and row.key != entry.renamed_from:
        conflicts.append(
            ConflictRecord(field=entity.key.name, winner="cmms", won=entry.key, lost=row.key, why="key_changed", at=now)
        )
    to_dynamics = _update(merged, "dynamics", row)
    if restore or reborn:
        to_dynamics = replace(
            to_dynamics or SideWrite(create=False, values={}, sources={}),
            restore_key=restore,
            state=(entity.active.state, entity.active.status) if reborn and entity.active else None,
        )
    if waiting and to_dynamics is not None:
        to_dynamics = replace(to_dynamics, unfinished=True)
    return Plan(
        _remember(entry, merged, conflicts, row, cmms, reborn=reborn),
        row=row,
        cmms=cmms,
        to_dynamics=to_dynamics,
        to_cmms=_update(merged, "cmms", cmms),
        blocked=merged.blocked,
        merged=merged,
    )


def _opens(entity: EntityMapping, merged: Merged, *, reborn: bool) -> bool:
    """Whether this plan brings a closed row into a state that takes edits."""
    states = [
        rule.state_of(write.value)
        for write in merged.to("dynamics")
        if (rule := entity.fields[write.field]).state_column is not None
    ]
    if not states and reborn and entity.active is not None:
        states = [entity.active.state]
    return bool(states) and entity.open_states is not None and states[0] in entity.open_states


def _closed_key(entity: EntityMapping, entry: Entry, row: DynamicsRecord) -> Blocked:
    closed = RecordClosed(
        f"{entity.key.name}: the Dynamics row {row.id} should have the key {entry.key}, but is closed and refuses"
        " edits. Reopen it there and replay this message, or discard it.",
        field=entity.key.name,
    )
    return Blocked(entity.key.name, "cmms", digest((entry.key, row.key)), closed)


def _endless(entry: Entry, cmms: CmmsRecord, row: DynamicsRecord, merged: Merged, now: datetime) -> Iterator[Blocked]:
    """The writes that would only be undone again; one that was parked stays parked while both values are the same."""
    for write in merged.writes:
        seen = digest((cmms.values.get(write.field), row.values.get(write.field)))
        parked: ParkedField | None = entry.parked.get(write.field)
        known = parked is not None and (parked.reason, parked.digest) == (DoesNotConverge.reason, seen)
        if known or loops(entry.written.get(write.field, ()), write.side, digest(write.value), now):
            yield Blocked(write.field, _source(write), seen, _does_not_converge(write))


def _source(write: Write) -> Side:
    return "cmms" if write.side == "dynamics" else "dynamics"


def _does_not_converge(write: Write) -> DoesNotConverge:
    target = "Dynamics" if write.side == "dynamics" else "the CMMS"
    return DoesNotConverge(
        f"{write.field}: {target} turns what is written there into something else, again and again. Look for a rule,"
        " workflow or script there that sets this field, and change the value on either side afterwards.",
        field=write.field,
    )


def _without(merged: Merged, blocked: Sequence[Blocked]) -> Merged:
    """The same without the writes of blocked fields, which take no part in this round."""
    if not blocked:
        return merged
    names = {block.field for block in blocked}
    return replace(
        merged,
        writes=tuple(write for write in merged.writes if write.field not in names),
        conflicts=tuple(conflict for conflict in merged.conflicts if conflict.field not in names),
        blocked=(*(block for block in merged.blocked if block.field not in names), *blocked),
    )


def _update(merged: Merged, side: Side, target: Record) -> SideWrite | None:
    writes = merged.to(side)
    if not writes:
        return None
    return SideWrite(
        create=False,
        values={write.field: write.value for write in writes},
        sources={write.field: write.source for write in writes},
        before={write.field: target.values.get(write.field) for write in writes},
    )


def _remember(
    entry: Entry,
    merged: Merged,
    conflicts: Sequence[ConflictRecord],
    row: DynamicsRecord,
    cmms: CmmsRecord,
    *,
    reborn: bool,
) -> Entry:
    latest = {conflict.field: conflict for conflict in entry.conflicts}
    fresh = tuple(
        conflict
        for conflict in conflicts
        if conflict.model_copy(update={"at": None}) != _timeless(latest.get(conflict.field))
    )
    return entry.model_copy(
        update={
            "bases": {**entry.bases, **merged.bases},
            "conflicts": entry.conflicts + fresh,
            "dynamics_id": row.id,
            "cmms_id": cmms.id or entry.cmms_id,
            # A row that is still to be made active again stays marked until that is confirmed.
            "deleted_at": entry.deleted_at if reborn else None,
            "moved_to": None,
            "moved_at": None,
        }
    )


def _timeless(conflict: ConflictRecord | None) -> ConflictRecord | None:
    return conflict.model_copy(update={"at": None}) if conflict else None


def _deleted(
    entity: EntityMapping, entry: Entry, cmms: CmmsRecord | None, row: DynamicsRecord | None, now: datetime
) -> Plan:
    """The CMMS no longer has the record: deactivate the row, and remember not to create it again."""
    at = cmms.version.at if cmms and cmms.version else (entry.deleted_at or now)
    still = tuple(intent for intent in entry.intents if intent.side == "dynamics")
    remembered = entry.model_copy(update={"deleted_at": at, "intents": still})
    if row is not None and row.id != entry.dynamics_id and not _is_inactive(entity, row):
        unknown = KeyNotUsable(
            f"The CMMS deleted or renamed the record {entry.key}, and the row {row.id}, which was never its row, has"
            f" its {entity.key.column}. Create the record in the CMMS again, or give the row another key.",
            field=entity.key.name,
        )
        return Plan(remembered, cmms=cmms, row=row, blocked=(Blocked(RECORD, "dynamics", digest(row.id), unknown),))
    inactive = entity.inactive
    if row is None or inactive is None or entity.on_delete == "report" or _is_inactive(entity, row):
        return Plan(remembered, cmms=cmms, row=row)
    write = SideWrite(create=False, values={}, sources={}, state=(inactive.state, inactive.status))
    return Plan(remembered, cmms=cmms, row=row, to_dynamics=write)


def _is_inactive(entity: EntityMapping, row: DynamicsRecord) -> bool:
    return entity.inactive is not None and row.state == entity.inactive.state


def _create_in_dynamics(entity: EntityMapping, entry: Entry, cmms: CmmsRecord, refused: Sequence[Blocked]) -> Plan:
    values: dict[str, Value] = {}
    sources: dict[str, Value] = {}
    blocked = [Blocked(name, "cmms", bad.digest, bad.error) for name, bad in cmms.errors.items()]
    blocked.extend(refused)
    stopped = {block.field for block in blocked}
    unfinished = False
    born = entity.active.state if entity.active is not None else 0
    for rule in entity.fields.values():
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
            if entity.active is not None:
                values[rule.name] = str(entity.active.status)
            sources[rule.name] = None
            unfinished = True
            continue
        values[rule.name] = translated
        sources[rule.name] = value
    write = SideWrite(create=True, values=values, sources=sources, unfinished=unfinished)
    return Plan(_reborn(entry, cmms), cmms=cmms, to_dynamics=write, blocked=tuple(blocked))


def _reborn(entry: Entry, cmms: CmmsRecord) -> Entry:
    """What was agreed with an earlier row means nothing for a new one."""
    update: dict[str, object] = {"deleted_at": None, "moved_to": None, "moved_at": None, "bases": {}}
    return entry.model_copy(update={**update, "cmms_id": cmms.id or entry.cmms_id})


def _create_in_cmms(entity: EntityMapping, entry: Entry, row: DynamicsRecord, refused: Sequence[Blocked]) -> Plan:
    """Every field is copied, whatever its direction: a record is born with what is known of it."""
    if _is_inactive(entity, row) and not any(rule.state_column for rule in entity.fields.values()):
        # The CMMS could not see that it is retired: creating it there would revive it.
        return Plan(entry, row=row)
    values: dict[str, Value] = {}
    sources: dict[str, Value] = {}
    blocked = [Blocked(name, "dynamics", bad.digest, bad.error) for name, bad in row.errors.items()]
    blocked.extend(refused)
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
