"""What must hold when everything has come to rest. Independent of the engine's merge: see `history` for the edits."""

from collections.abc import Callable, Iterator
from typing import Any

from local.emulators.dataverse.rows import Row
from shared.domain.link import ConflictRecord, Link
from tests.simulation.cmms_model import Fields
from tests.simulation.evidence import Evidence
from tests.simulation.observe import normal
from tests.simulation.parking import held_back, messages, whole_records
from tests.simulation.records import losers, records
from tests.simulation.tables import CELLS, CURRENCY, DEAD_STATE, FIELDS, KEYS, ONE_WAY

MANY = 20
"""Records of one batch in which one field may not be emptied without anybody's looking."""

type Stays = Callable[[Evidence, str, str, str, Row, Link], bool]
"""Whether a difference may stay: evidence, entity, CMMS id, field, row, link."""


def check(evidence: Evidence, *, everything_seen: bool = False) -> list[str]:
    """Every violation, as sentences. `everything_seen` once the engine has looked at each record in peace."""
    found = [*common(evidence, _stays, everything_seen=everything_seen)]
    for entity in FIELDS:
        found.extend(_lonely_rows(evidence, entity))
    if everything_seen:
        found.extend(_memories(evidence))
    return found


def common(evidence: Evidence, stays: Stays, *, everything_seen: bool) -> Iterator[str]:
    """What must hold with and without the CMMS's API; `stays` tells which differences may stay."""
    yield from evidence.history.violations
    yield from evidence.observer.masses(MANY)
    yield from messages(evidence)
    yield from whole_records(evidence, everything_seen=everything_seen)
    yield from losers(evidence)
    yield from records(evidence)
    for entity in FIELDS:
        yield from _records(evidence, entity, stays)
    for (entity, pk), made in evidence.observer.created_for.items():
        # A row that a restore took is made again under its id, but not where another row got its key meanwhile.
        lost = {row for row in made if _is_lost_for_good(evidence, entity, row)}
        rows = [row for row in made if evidence.history.row_is_of(entity, row, pk) and row not in lost]
        if len(rows) > 1:
            yield f"{entity} #{pk}: the integration created {len(rows)} rows for one record"


def _memories(evidence: Evidence) -> Iterator[str]:
    """What the ledger remembers decides the next edit: it must be what both sides hold, with nothing under way."""
    for entity in FIELDS:
        for pk, record in evidence.cmms.tables[entity].records.items():
            link = evidence.link(entity, record=str(pk))
            row = evidence.row(entity, link.row_id) if link is not None else None
            if link is None or row is None or "*" in link.parked:
                continue
            for name in CELLS[entity]:
                held = _held(evidence, name, record, row)
                if evidence.is_unheard(name):
                    continue
                base = link.bases.get(name)
                if not evidence.history.rules.same(name, *held):
                    continue
                # That Dynamics rounds only an answer tells: figures that meet, and cannot be written, differ.
                waits = name in link.parked and (
                    _is_held_by_its_currency(link, name, row)
                    or (held[0] != held[1] and base is None and link.parked[name].reason == "no_effect")
                )
                unwritten = waits and held[0] != held[1]
                if not unwritten and (base is None or (base.cmms, base.dynamics) != held):
                    yield f"{entity} #{pk} {name}: the sides agree on {held}, and the ledger remembers {base}"
                if name in link.parked and not waits:
                    yield f"{entity} #{pk} {name}: the sides agree, and it still counts as parked"


def _is_held_by_its_currency(link: Link, name: str, row: Row) -> bool:
    """Whether a figure waits for a person to say which currency is meant, whatever both sides hold."""
    other = str(row.values.get(CURRENCY)) != link.seen.currency
    return link.parked[name].reason == "currency_changed" and other


def _held(evidence: Evidence, name: str, record: Fields, row: Row) -> tuple[str | None, str | None]:
    return normal(name, record[name]), normal(name, row.values[evidence.history.rules.columns[name]])


def _records(evidence: Evidence, entity: str, stays: Stays) -> Iterator[str]:
    for pk, record in evidence.cmms.tables[entity].records.items():
        link = evidence.link(entity, record=str(pk))
        if evidence.is_untold(entity, link, record=str(pk)) or (link is not None and "*" in link.parked):
            continue
        row = evidence.row(entity, link.row_id) if link is not None else None
        where = f"{entity} {record[KEYS[entity]]} #{pk}"
        if link is None or row is None:
            yield f"{where}: it has no row in Dynamics"
            continue
        # Where the ledger forgot the record's deletion as well, nothing tells why the row is inactive.
        forgotten = evidence.history.ledger_restored > 0 and (entity, str(pk)) in evidence.history.living_again
        unknown = forgotten or (entity, str(row.id)) in evidence.observer.touched
        if entity == "asset" and row.values["statecode"] != 0 and not unknown:
            yield f"{where}: its row is inactive"
        for name in CELLS[entity]:
            cmms, dynamics = _held(evidence, name, record, row)
            if evidence.is_unheard(name) or evidence.history.rules.same(name, cmms, dynamics):
                continue
            if name in link.parked:
                yield from held_back(evidence, entity, name, link, cmms, row)
            elif not stays(evidence, entity, str(pk), name, row, link):
                yield f"{where} {name}: the CMMS has {cmms!r}, Dynamics {dynamics!r}"


def _stays(evidence: Evidence, entity: str, pk: str, name: str, row: Row, link: Link) -> bool:
    held = _held(evidence, name, evidence.cmms.tables[entity].records[int(pk)], row)
    return any(_kept(conflict, name, *held) for conflict in link.conflicts)


def _kept(conflict: ConflictRecord, name: str, cmms: str | None, dynamics: str | None) -> bool:
    """Whether a record says that this difference stays: the value that did not travel, and the one that stayed."""
    stays = {"create_only": name == "fecha_creacion", "first_contact": name in ONE_WAY and cmms is None}
    return (
        conflict.field == name
        and stays.get(conflict.why, False)
        and (conflict.won, conflict.lost) in {(cmms, dynamics), (dynamics, cmms)}
    )


def _is_lost_for_good(evidence: Evidence, entity: str, row: str) -> bool:
    """Whether a restore of Dynamics took the row away, and it is not there again."""
    return (entity, row) in evidence.conditions.vanished["dynamics"] and evidence.row(entity, row) is None


def _lonely_rows(evidence: Evidence, entity: str) -> Iterator[str]:
    """Rows without a living record: theirs was deleted, or they wait for a person."""
    for key, row in evidence.rows(entity):
        link = evidence.link(entity, row=str(row.id))
        record = link.cmms_id if link is not None else None
        if evidence.is_untold(entity, link, row=str(row.id)) or (link is not None and "*" in link.parked):
            continue
        if record is None and entity == "asset" and row.values["statecode"] != 0:
            continue  # a retired row is made no record of
        if record is None and _stands_in_the_way(evidence, entity, key):
            continue
        if record is None:
            yield f"{entity} {key}: the row {row.id} has no record in the CMMS"
        elif int(record) in evidence.cmms.tables[entity].records:
            continue
        elif (entity, record) not in evidence.observer.deleted.keys() | evidence.conditions.vanished["cmms"]:
            yield f"{entity} {key}: the row {row.id} is linked with #{record}, which never was"
        elif row.values["statecode"] != DEAD_STATE[entity]:
            yield f"{entity} {key}: the row {row.id} is not in the state of deleted records, as its record is"


def _stands_in_the_way(evidence: Evidence, entity: str, key: str) -> bool:
    """Whether a record with the key, and perhaps another row, waits for a person: then the row waits with it."""
    found = evidence.cmms.find(entity, key)
    link = evidence.link(entity, record=str(found[0])) if found is not None else None
    parked = link.parked if link is not None else {}
    return not parked.keys().isdisjoint({"*", KEYS[entity]})


def describe(link: Link) -> dict[str, Any]:
    """A link for a trace."""
    return link.as_json
