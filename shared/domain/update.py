"""A record that both sides have: merged field by field, its key and its state kept right."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from shared.domain.convergence import loops
from shared.domain.deletion import is_inactive
from shared.domain.ledger import ConflictRecord, Entry, ParkedField
from shared.domain.made_again import made_again, merge_made_again
from shared.domain.merge import Blocked, Merged, Write, digest, merge, record_replaced
from shared.domain.model import CmmsRecord, DynamicsRecord, Record, Side
from shared.domain.planned import Plan, SideWrite
from shared.domain.schema.mapping import EntityMapping
from shared.errors import DoesNotConverge, RecordClosed


def plan_update(
    entity: EntityMapping,
    entry: Entry,
    cmms: CmmsRecord,
    row: DynamicsRecord,
    now: datetime,
    *,
    cmms_writable: bool,
    refused: Sequence[Blocked],
) -> Plan:
    """The writes that make both sides agree again; `refused` fields are left out."""
    taken_over = cmms.id is not None and entry.cmms_id not in {None, cmms.id}
    if taken_over:
        # A new record under the key of a deleted one takes its row over; writes to the old one are nobody's concern.
        still = tuple(intent for intent in entry.intents if intent.side == "dynamics")
        entry = entry.model_copy(update={"intents": still})
    reborn = entry.deleted_at is not None and entity.active is not None and is_inactive(entity, row)
    merged = _merged(entity, entry, cmms, row, now, reborn=reborn)
    if taken_over:
        merged = record_replaced(merged, row, "taken_over", now)
    if not cmms_writable:
        # Nothing can be written to the CMMS: what Dynamics says there stays undecided, its bases unmoved.
        merged = replace(merged, writes=merged.to("dynamics"))
    merged = _without(merged, [*_endless(entry, cmms, row, merged, now), *_to_be_sent_again(refused, merged)])
    opens = not row.is_open and _opens(entity, merged, reborn=reborn)
    waiting = opens and any(isinstance(block.error, RecordClosed) for block in merged.blocked)
    if opens:
        # The row is opened first; what it refused until then is decided by another round.
        merged = replace(
            merged, blocked=tuple(block for block in merged.blocked if not isinstance(block.error, RecordClosed))
        )
    conflicts = list(merged.conflicts)
    restore = row.key != entry.key
    if restore and not row.is_open:
        restore, waiting = False, waiting or opens
        if not opens:
            merged = replace(merged, blocked=(*merged.blocked, _closed_key(entity, entry, row)))
    if restore:
        conflicts.extend(_taken_back(entity, entry, row, now))
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


def _merged(
    entity: EntityMapping, entry: Entry, cmms: CmmsRecord, row: DynamicsRecord, now: datetime, *, reborn: bool
) -> Merged:
    """The merge against what was agreed, as far as that is still true of this row."""
    if made_again(entry, row):
        return merge_made_again(entity, cmms, row, now)
    if not reborn:
        return merge(entity, cmms, row, entry.bases, now)
    # We set the state ourselves when the record was deleted: nobody has said it, and nothing was agreed.
    stateful = {name for name, rule in entity.fields.items() if rule.state_column}
    unsaid = replace(row, values={name: None if name in stateful else held for name, held in row.values.items()})
    bases = {name: base for name, base in entry.bases.items() if name not in stateful}
    return merge(entity, cmms, unsaid, bases, now)


def plan_release(entity: EntityMapping, entry: Entry, row: DynamicsRecord, now: datetime) -> Plan:
    """Records that exchanged their keys wait for each other's rows: this one's gives up the key that is not its own."""
    write = SideWrite(create=False, values={}, sources={}, release_key=True, unfinished=True)
    fresh = _fresh(entry, list(_taken_back(entity, entry, row, now)))
    return Plan(entry.model_copy(update={"conflicts": entry.conflicts + fresh}), row=row, to_dynamics=write)


def _taken_back(entity: EntityMapping, entry: Entry, row: DynamicsRecord, now: datetime) -> Iterator[ConflictRecord]:
    """The record of a key that a person gave the row, and that it is not to keep."""
    if row.key not in {entry.renamed_from, row.id}:
        yield ConflictRecord(
            field=entity.key.name, winner="cmms", won=entry.key, lost=row.key, why="key_changed", at=now
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


def _to_be_sent_again(refused: Sequence[Blocked], merged: Merged) -> Iterator[Blocked]:
    """The refusals of what would be written; either side may have moved on since."""
    wanted = {(write.field, _source(write), digest(write.source)) for write in merged.writes}
    return (block for block in refused if (block.field, block.side, block.digest) in wanted)


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
    # A row that is still to be made active again stays marked until that is confirmed; so does one that a write of
    # unknown outcome may yet make inactive.
    marked = reborn or any(intent.side == "dynamics" for intent in entry.intents)
    return entry.model_copy(
        update={
            "bases": {**entry.bases, **merged.bases},
            "conflicts": entry.conflicts + _fresh(entry, conflicts),
            "dynamics_id": row.id,
            # Until the values of the row made anew are replaced, it stays recognisable as that.
            "row_made": entry.row_made if made_again(entry, row) and merged.to("dynamics") else row.created,
            "cmms_id": cmms.id or entry.cmms_id,
            "deleted_at": entry.deleted_at if marked else None,
            "moved_to": None,
        }
    )


def _fresh(entry: Entry, conflicts: Sequence[ConflictRecord]) -> tuple[ConflictRecord, ...]:
    """The conflicts without those that are the last on record of their field already."""
    latest = {conflict.field: conflict for conflict in entry.conflicts}
    return tuple(one for one in conflicts if one.model_copy(update={"at": None}) != _timeless(latest.get(one.field)))


def _timeless(conflict: ConflictRecord | None) -> ConflictRecord | None:
    return conflict.model_copy(update={"at": None}) if conflict else None
