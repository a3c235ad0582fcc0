"""What must hold when everything has come to rest. Independent of the engine's merge: see `history` for the edits."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from local.emulators.dataverse.rows import Row
from shared.domain.ledger import ConflictRecord, Entry
from tests.simulation.cmms_model import Fields
from tests.simulation.evidence import Evidence
from tests.simulation.observe import normal
from tests.simulation.parking import held_back, messages, whole_records
from tests.simulation.records import losers, records, taken_keys
from tests.simulation.tables import COLUMNS, DEAD_STATE, FIELDS, KEYS, ONE_WAY, same


def check(evidence: Evidence, *, everything_seen: bool = False) -> list[str]:
    """Every violation, as sentences. `everything_seen` once the engine has looked at each record in peace."""
    found = list(evidence.history.violations)
    found.extend(messages(evidence))
    found.extend(whole_records(evidence, everything_seen=everything_seen))
    found.extend(losers(evidence))
    found.extend(records(evidence))
    found.extend(taken_keys(evidence))
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
            if "*" not in entry.parked and len(rows[key]) == 1:
                yield from _fields(evidence, entity, record, rows[key][0], entry)
        elif len(rows[key]) != 1:
            yield f"{where}: {len(rows[key])} rows in Dynamics"
        else:
            yield from _fields(evidence, entity, record, rows[key][0], entry)


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
