"""What must hold in one-way mode: each row has what the CMMS said last, but for what people changed in Dynamics since.

The messages are all that tells of the CMMS: partial ones, late, doubled, in any order, of keys that were used again.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator

from local.emulators.dataverse.rows import Row
from tests.simulation.checker import lonely
from tests.simulation.cmms_model import Fields
from tests.simulation.evidence import Evidence
from tests.simulation.history import Edit, knows
from tests.simulation.observe import normal
from tests.simulation.parking import held_back, messages, whole_records
from tests.simulation.records import losers, records, taken_keys
from tests.simulation.tables import COLUMNS, DEAD_STATE, DYNAMICS_WINS, FIELDS, KEYS, ONE_WAY, same


def check(evidence: Evidence, *, everything_seen: bool = False) -> list[str]:
    """Every violation, as sentences."""
    found = [
        *evidence.history.violations,
        *messages(evidence),
        *whole_records(evidence, everything_seen=everything_seen),
    ]
    found += [*losers(evidence), *records(evidence), *taken_keys(evidence), *_second_rows(evidence)]
    for entity in FIELDS:
        found.extend(_records(evidence, entity))
        if everything_seen:
            found.extend(_lonely_rows(evidence, entity))
    return found


def _second_rows(evidence: Evidence) -> Iterator[str]:
    """Rows follow their records, but where a message of the new key, or of another record that came to the old one,
    was there before the rename's: then the record has a new row, and the old one is the other record's, or left.
    """
    for (entity, pk), made in evidence.observer.created_for.items():
        living = [
            key
            for key, row in evidence.rows(entity)
            if row.id in made and row.values["statecode"] != DEAD_STATE[entity]
        ]
        holders = [evidence.observer.holders.get((entity, key)) for key in living]
        if holders.count(pk) > 1:
            yield f"{entity} #{pk}: the integration created {holders.count(pk)} rows for one record"


def _records(evidence: Evidence, entity: str) -> Iterator[str]:
    rows: dict[str, list[Row]] = defaultdict(list)
    for key, row in evidence.rows(entity):
        rows[key].append(row)
    for pk, record in evidence.cmms.tables[entity].records.items():
        key = str(record[KEYS[entity]])
        if (entity, key) in evidence.unannounced:
            continue
        entry = evidence.entries.get((entity, key))
        if entry is not None and ("*" in entry.parked or KEYS[entity] in entry.parked):
            continue
        if len(rows[key]) != 1:
            yield f"{entity} {key} #{pk}: {len(rows[key])} rows in Dynamics"
        else:
            yield from _fields(evidence, entity, pk, record, rows[key][0])


def _fields(evidence: Evidence, entity: str, pk: int, record: Fields, row: Row) -> Iterator[str]:
    key = str(record[KEYS[entity]])
    entry = evidence.entries.get((entity, key))
    if entity == "asset" and row.values["statecode"] != 0:
        yield f"{entity} {key}: its row is inactive"
    for name in FIELDS[entity]:
        cmms, dynamics = normal(name, record[name]), normal(name, row.values[COLUMNS[name]])
        if same(name, cmms, dynamics) or (entry is not None and name in entry.parked):
            if entry is not None and name in entry.parked:
                yield from held_back(evidence, entity, name, entry, cmms, row)
            continue
        said = evidence.history.cell("cmms", entity, str(pk), name).edit
        edit = evidence.history.cell("dynamics", entity, str(row.id), name).edit
        conflicts = entry.conflicts if entry is not None else ()
        lost = {one.why for one in conflicts if (one.field, one.lost) == (name, cmms)}
        if not _stays(name, said, edit, lost=lost):
            yield f"{entity} {key} {name}: the CMMS said {cmms!r}, Dynamics has {dynamics!r}"


def _stays(name: str, said: Edit | None, edit: Edit | None, *, lost: Collection[str]) -> bool:
    """Whether a person's edit in Dynamics may stand against what the CMMS said: nothing is written to the CMMS."""
    if name == "fecha_creacion":
        return bool(lost)
    if name in DYNAMICS_WINS and lost:
        return True
    if edit is None or edit.cell.side != "dynamics":
        return False
    if said is None or said.value is None:
        return True  # a value beats nothing
    if name in ONE_WAY:
        return False
    # The row may have shown the same by itself; or the edit came between a write and its unknown outcome, on record.
    shown = edit.number > said.number and same(name, said.value, edit.over)
    return knows(edit, said) or shown or "late_write" in lost


def _lonely_rows(evidence: Evidence, entity: str) -> Iterator[str]:
    """Rows of records that are gone, as far as the integration ever knew them."""
    known = {entry.dynamics_id for entry in evidence.entries.values()}
    for key, row in lonely(evidence, entity):
        if str(row.id) in known and row.values["statecode"] != DEAD_STATE[entity]:
            yield f"{entity} {key}: the row {row.id} is not in the state of deleted records, as its record is"
