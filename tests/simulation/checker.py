"""What must hold when everything has come to rest. Independent of the engine's merge: see `history` for the edits."""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from local.dataverse import Dataverse
from local.dataverse.rows import Row
from local.servicebus.memory import Delivery
from shared.domain.ledger import ConflictRecord, Entry
from tests.simulation.cmms_model import CmmsModel, Fields
from tests.simulation.history import History
from tests.simulation.observe import Observer, normal
from tests.simulation.tables import COLUMNS, DEAD_STATE, FIELDS, KEY_COLUMNS, KEYS, ONE_WAY, TABLES, same

LONGEST_NAME = 100
REASONS = frozenset(
    {"mapping_error", "record_closed", "gone_from_dynamics", "gone_from_cmms", "key_not_usable", "not_yet_visible"}
)
"""What may stand on a parked message here; every other reason is a fault of the product."""

type Key = tuple[str, str]


class Evidence:
    """Everything that the checker looks at, once at rest."""

    def __init__(
        self,
        *,
        history: History,
        observer: Observer,
        cmms: CmmsModel,
        dataverse: Dataverse,
        entries: dict[Key, Entry],
        parked: list[Delivery],
        dead_letters: int,
        unannounced: set[Key],
    ) -> None:
        self.history = history
        self.observer = observer
        self.cmms = cmms
        self.dataverse = dataverse
        self.entries = entries
        self.parked = [dict(delivery.message.application_properties) for delivery in parked]
        self.dead_letters = dead_letters
        self.unannounced = unannounced

    def rows(self, entity: str) -> Iterator[tuple[str, Row]]:
        """Every row with its business key."""
        for row in self.dataverse.tables[TABLES[entity]]:
            yield str(row.values[KEY_COLUMNS[entity]]), row


def check(evidence: Evidence, *, everything_seen: bool = False) -> list[str]:
    """Every violation, as sentences. `everything_seen` once the engine has looked at each record in peace."""
    found = list(evidence.history.violations)
    found.extend(messages(evidence))
    found.extend(losers(evidence))
    for entity in FIELDS:
        found.extend(_records(evidence, entity))
        found.extend(_lonely_rows(evidence, entity))
    for (entity, pk), rows in evidence.observer.created_for.items():
        if len(rows) > 1:
            found.append(f"{entity} #{pk}: the integration created {len(rows)} rows for one record")
    if everything_seen:
        found.extend(_memories(evidence))
    return found


def _memories(evidence: Evidence) -> Iterator[str]:
    """What the ledger remembers decides the next edit: it must be what both sides hold, with nothing under way."""
    for entity in FIELDS:
        rows = {str(row.id): row for _, row in evidence.rows(entity)}
        for record in evidence.cmms.tables[entity].records.values():
            entry = evidence.entries.get((entity, str(record[KEYS[entity]])))
            row = rows.get(entry.dynamics_id or "") if entry is not None else None
            if entry is None or row is None or "*" in entry.parked:
                continue
            for name in FIELDS[entity]:
                held = normal(name, record[name]), normal(name, row.values[COLUMNS[name]])
                base = entry.bases.get(name)
                if not same(name, *held):
                    continue
                if base is None or (base.cmms, base.dynamics) != held:
                    yield f"{entity} {entry.key} {name}: the sides agree on {held}, and the ledger remembers {base}"
                if name in entry.parked:
                    yield f"{entity} {entry.key} {name}: the sides agree, and it still counts as parked"


def messages(evidence: Evidence) -> Iterator[str]:
    if evidence.dead_letters:
        yield f"{evidence.dead_letters} messages were given up by the broker"
    for parked in evidence.parked:
        # A row cannot be made without its name: where the CMMS's is too long, Dynamics refuses the rest as well.
        nameless = (parked.get("reason"), parked.get("field")) == ("rejected_by_target", "nombre")
        known = parked.get("reason") in REASONS or nameless
        if not known or not parked.get("message") or not (parked.get("key") or parked.get("correlation_id")):
            yield f"parked without a reason that a person can act on: {json.dumps(parked, default=str)[:400]}"


def losers(evidence: Evidence) -> Iterator[str]:
    """Each loser must be on record, and with its own record: under one of the keys that this has had."""
    recorded: dict[tuple[str, str, str | None], set[str]] = defaultdict(set)
    for (entity, key), entry in evidence.entries.items():
        for conflict in entry.conflicts:
            recorded[entity, conflict.field, conflict.lost].add(key)
    for owed in evidence.history.owed:
        cell = owed.cell
        if not recorded[cell.entity, cell.field, owed.lost] & evidence.history.family(cell):
            yield f"{cell}: {owed.edit} was replaced by {owed.by!r}, and no record names it"


def _records(evidence: Evidence, entity: str) -> Iterator[str]:
    rows: dict[str, list[Row]] = defaultdict(list)
    for key, row in evidence.rows(entity):
        rows[key].append(row)
    for pk, record in evidence.cmms.tables[entity].records.items():
        key = str(record[KEYS[entity]])
        if (entity, key) in evidence.unannounced:
            continue
        where = f"{entity} {key} #{pk}"
        entry = evidence.entries.get((entity, key))
        if entry is not None and ("*" in entry.parked or KEYS[entity] in entry.parked):
            yield from _whole_record(evidence, entity, record, rows[key], entry)
        elif len(rows[key]) != 1:
            yield f"{where}: {len(rows[key])} rows in Dynamics"
        else:
            yield from _fields(evidence, entity, record, rows[key][0], entry)


def _whole_record(evidence: Evidence, entity: str, record: Fields, rows: list[Row], entry: Entry) -> Iterator[str]:
    key = entry.key
    name, parked = next((name, entry.parked[name]) for name in ("*", KEYS[entity]) if name in entry.parked)
    if not any(one.get("key") == key and one.get("reason") == parked.reason for one in evidence.parked):
        yield f"{entity} {key}: held back as {parked.reason}, but nothing was parked"
    if not whole_rightly(evidence, entity, record, rows, entry):
        yield f"{entity} {key}: held back as {parked.reason} without cause"
    if name != "*" and len(rows) == 1:
        yield from _fields(evidence, entity, record, rows[0], entry)


def whole_rightly(evidence: Evidence, entity: str, record: Fields, rows: list[Row], entry: Entry) -> bool:
    """Whether what a person reads of a record that is held back as a whole is so."""
    bound = next((row for _, row in evidence.rows(entity) if str(row.id) == entry.dynamics_id), None)
    match (entry.parked.get("*") or entry.parked[KEYS[entity]]).reason:
        case "gone_from_dynamics":
            return bound is None and entry.dynamics_id in {str(row_id) for row_id in evidence.observer.removed_rows}
        case "key_not_usable":
            # Another row has the key, or a row of this key belongs to another record.
            return any(str(row.id) != entry.dynamics_id for row in rows)
        case "record_closed":
            return bound is not None and bound.values["statecode"] != 0
        case "rejected_by_target":
            name = record.get("nombre")
            return entity == "asset" and bound is None and (name is None or len(name) > LONGEST_NAME)
    return False


def _fields(evidence: Evidence, entity: str, record: Fields, row: Row, entry: Entry | None) -> Iterator[str]:
    key = str(record[KEYS[entity]])
    if entity == "asset" and row.values["statecode"] != 0:
        yield f"{entity} {key}: its row is inactive"
    for name in FIELDS[entity]:
        cmms, dynamics = normal(name, record[name]), normal(name, row.values[COLUMNS[name]])
        if same(name, cmms, dynamics):
            continue
        if entry is not None and name in entry.parked:
            yield from held_back(evidence, entity, name, entry, cmms, row)
        elif not any(_kept(conflict, name, cmms, dynamics) for conflict in (entry.conflicts if entry else ())):
            yield f"{entity} {key} {name}: the CMMS has {cmms!r}, Dynamics {dynamics!r}"


def held_back(evidence: Evidence, entity: str, name: str, entry: Entry, cmms: str | None, row: Row) -> Iterator[str]:
    """A field that counts as parked: something must be parked, and for cause."""
    key, reason = entry.key, entry.parked[name].reason
    if not any(one.get("key") == key and one.get("field") == name for one in evidence.parked):
        yield f"{entity} {key} {name}: held back as {reason}, but nothing was parked"
    if not _rightly(reason, cmms, row):
        yield f"{entity} {key} {name}: held back as {reason} without cause"


def _rightly(reason: str, cmms: str | None, row: Row) -> bool:
    if reason == "mapping_error":
        return cmms is not None and len(cmms) > LONGEST_NAME
    return reason == "record_closed" and row.values["statecode"] != 0


def _kept(conflict: ConflictRecord, name: str, cmms: str | None, dynamics: str | None) -> bool:
    """Whether a record says that this difference stays: the value that did not travel, and the one that stayed."""
    stays = {"create_only": name == "fecha_creacion", "first_contact": name in ONE_WAY and cmms is None}
    return (
        conflict.field == name
        and stays.get(conflict.why, False)
        and (conflict.won, conflict.lost) in {(cmms, dynamics), (dynamics, cmms)}
    )


def lonely(evidence: Evidence, entity: str) -> Iterator[tuple[str, Row]]:
    """Rows without a record, that do not wait for a person."""
    waiting = {entry.dynamics_id for entry in evidence.entries.values() if {"*", KEYS[entity]} & entry.parked.keys()}
    for key, row in evidence.rows(entity):
        entry = evidence.entries.get((entity, key))
        if not (
            (entity, key) in evidence.unannounced
            or evidence.cmms.find(entity, key) is not None
            or (entry is not None and "*" in entry.parked)
            or str(row.id) in waiting
        ):
            yield key, row


def _lonely_rows(evidence: Evidence, entity: str) -> Iterator[str]:
    """Their records were deleted."""
    gone = {*evidence.observer.deleted_keys, *evidence.observer.renamed_keys}
    for key, row in lonely(evidence, entity):
        if not any((entity, one) in gone for one in evidence.history.keys["dynamics", entity, str(row.id)]):
            yield f"{entity} {key}: the row {row.id} has no record in the CMMS"
        elif row.values["statecode"] != DEAD_STATE[entity]:
            yield f"{entity} {key}: the row {row.id} is not in the state of deleted records, as its record is"


def describe(entry: Entry) -> dict[str, Any]:
    """An entry for a trace."""
    return entry.model_dump(mode="json", exclude_defaults=True)
