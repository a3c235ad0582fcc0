"""What is parked must be parked for cause: a person who reads it finds in the stores what it says."""

import json
from collections.abc import Collection, Iterator, Mapping

from local.emulators.dataverse.rows import Row
from shared.domain.link import Link
from tests.simulation.cmms_model import QUEUES, Fields
from tests.simulation.edits import Name
from tests.simulation.evidence import Evidence
from tests.simulation.observe import normal
from tests.simulation.tables import DECIMALS, KEY_COLUMNS, KEYS, refused_by_cmms

LONGEST_NAME = 100
ATTEMPTS = 12
REASONS = frozenset(
    {"mapping_error", "record_closed", "gone_from_dynamics", "key_not_usable", "row_replaced", "not_yet_visible"}
)
"""What may stand on a parked message here; every other reason is a fault of the product.

`record_missing` is none of them: this CMMS shows a tombstone of everything that it deleted.
"""

OF_UPHEAVALS = frozenset(
    {"mass_clear", "went_back", "gone_from_cmms", "no_effect", "invalid_message", "currency_changed"}
)
"""The same, where something befell a side."""


def messages(evidence: Evidence) -> Iterator[str]:
    """Faults of what was given up or parked."""
    if evidence.dead_letters:
        yield f"{evidence.dead_letters} messages were given up by the broker"
    for parked, body in zip(evidence.parked, evidence.bodies, strict=True):
        if not _is_original(parked, body):
            yield f"{parked.get('key')}: parked without the message that a replay would send: {body[:200]!r}"
        elif not _had_cause(evidence, parked):
            yield f"{parked.get('key')}: a message was parked as {parked.get('reason')}, and nothing of it was ever so"
        # A row cannot be made without its name: where the CMMS's is too long, Dynamics refuses the rest as well.
        refused = parked.get("reason") == "rejected_by_target" and parked.get("field") in {"nombre", "numero_de_serie"}
        refused = refused or (
            parked.get("reason") == "rejected_by_target" and parked.get("field") in evidence.conditions.secured
        )
        known = parked.get("reason") in REASONS | OF_UPHEAVALS or refused
        if not known or not parked.get("message") or not (parked.get("key") or parked.get("correlation_id")):
            yield f"parked without a reason that a person can act on: {json.dumps(parked, default=str)[:400]}"


def _is_original(parked: Mapping[str, object], body: bytes) -> bool:
    """Whether this is the message that the properties tell of, and names a record."""
    try:
        event = json.loads(body)
    except ValueError:
        return False
    data = event.get("data", {})
    return event.get("id") == parked.get("correlation_id") and any(data.get(n) for n in ("key", "record_id", "cmms_id"))


def _had_cause(evidence: Evidence, parked: Mapping[str, object]) -> bool:
    """Whether what it says was so at any time of what had this key: since then people may have mended it."""
    key, reason = str(parked.get("key")), parked.get("reason")
    entity = next(entity for entity, queue in QUEUES.items() if queue == parked.get("source_queue"))
    history = evidence.history
    kin = history.kin(
        entity, [(side, name) for (side, of, name), had in history.keys.items() if of == entity and key in had]
    )
    conditions = evidence.conditions
    match reason:
        case "mass_clear" | "invalid_message":
            return conditions.mass if reason == "mass_clear" else conditions.orderless and entity == "order"
        case "went_back" | "gone_from_cmms":
            sets = conditions.rewound if reason == "went_back" else conditions.vanished
            doubtful = conditions.resumed | conditions.vanished["dynamics"]
            resumed = reason == "went_back" and any((entity, name) in doubtful for _, name in kin)
            # A message that failed often for other reasons has no patience left for a list read that lags.
            return conditions.stale or resumed or any((entity, name) in sets[side] for side, name in kin)
        case "currency_changed" | "no_effect":
            revalued = any((entity, name) in conditions.revalued for _, name in kin)
            return (
                revalued
                if reason == "currency_changed"
                else _shows_nothing(evidence, entity, str(parked.get("field")), kin)
            )
        case "rejected_by_target" if parked.get("field") in conditions.secured:
            return True
        case "gone_from_dynamics" | "row_replaced":
            ids = [name for side, name in kin if side == "dynamics"]
            late = any(_came_late(evidence, entity, row) for row in ids)
            late = late or any(side == "cmms" and _has_no_known_row(evidence, entity, name) for side, name in kin)
            return (late and reason == "row_replaced") or any((entity, row) in evidence.observer.removed for row in ids)
        case "key_not_usable":
            alike = [
                (side, name)
                for (side, of, name), had in history.keys.items()
                if of == entity and folded(key) in map(folded, had)
            ]
            several = not set(alike) <= history.kin(entity, alike[:1])
            rows = sum(side == "dynamics" for side, _ in alike)
            return several or rows > 1 or _came_and_went(evidence, entity, kin)
        case "rejected_by_target" if parked.get("field") == "numero_de_serie":
            given = history.held("dynamics", entity, "numero_de_serie", kin)
            return any(refused_by_cmms(edit.value) for edit in given)
        case "mapping_error" | "rejected_by_target":
            given = history.held("cmms", entity, "nombre", kin)
            # Of a record whose later changes were told before its creation, nothing but these is known.
            return evidence.cmms.partial or any(
                edit.value is not None and len(edit.value) > LONGEST_NAME for edit in given
            )
        case "record_closed":
            return entity == "order" and parked.get("field") not in {None, "estado"}
    return reason == "not_yet_visible" and parked.get("attempts") == ATTEMPTS


def _has_no_known_row(evidence: Evidence, entity: str, record: str) -> bool:
    """Whether a record was made late, for a row that had another one, or its link went with a restored ledger."""
    return (entity, record) in evidence.observer.late | evidence.conditions.forgotten


def _came_late(evidence: Evidence, entity: str, row: str) -> bool:
    """Whether the integration made the row for a record that has another one, or none, or is forgotten by now.

    A restored ledger does not know the record; or a restored CMMS lost it, and an operator had its row let go.
    """
    forgotten = evidence.conditions.forgotten | evidence.conditions.vanished["cmms"]
    if any((entity, one) in forgotten for one in evidence.history.partners["dynamics", entity, row]):
        return True
    made_for = [record for (of, record), rows in evidence.observer.created_for.items() if of == entity and row in rows]
    links = [evidence.link(entity, record=record) for record in made_for]
    return any(link is None or link.row_id != row for link in links)


def _shows_nothing(evidence: Evidence, entity: str, name: str, kin: Collection[Name]) -> bool:
    """Whether a side ever went on showing a field as it was after a write of it, or showed that again."""
    if any(evidence.history.cell(side, entity, one, name).put_back for side, one in kin):
        return True
    return name in evidence.conditions.secured or any(field == name for _, field in evidence.conditions.idle)


def _came_and_went(evidence: Evidence, entity: str, kin: Collection[Name]) -> bool:
    """Whether one of these had several keys, or was deleted."""
    gone = {
        ("cmms", name)
        for of, name in evidence.observer.deleted.keys() | evidence.conditions.vanished["cmms"]
        if of == entity
    }
    return bool(gone & set(kin)) or any(len(evidence.history.keys[side, entity, name]) > 1 for side, name in kin)


def whole_records(evidence: Evidence, *, everything_seen: bool) -> Iterator[str]:
    """Faults of the records that are held back as a whole, or by their key, whether the CMMS has them or not."""
    for entity, link in evidence.links:
        if evidence.is_untold(entity, link):
            continue
        for name in ("*", KEYS[entity]):
            if name not in link.parked:
                continue
            reason = link.parked[name].reason
            kin = evidence.kin(entity, link)
            keys = {key for side, one in kin for key in evidence.history.keys[side, entity, one]} | {link.key}
            if not any(one.get("key") in keys and one.get("reason") == reason for one in evidence.parked):
                yield f"{entity} {link.key}: held back as {reason}, but nothing was parked"
            # Nobody tells a record that what stood in its way is gone: a full pass, or a replay, looks at it again.
            lagged = evidence.conditions.stale and reason in {"went_back", "gone_from_cmms"}
            mended = not everything_seen and (reason == "key_not_usable" or lagged)
            # What a record that is held back as a whole leaves undecided stays as it was.
            undecided = name != "*" and "*" in link.parked
            if not (mended or undecided or _whole_rightly(evidence, entity, name, link)):
                yield f"{entity} {link.key}: {name} held back as {reason} without cause"


def _whole_rightly(evidence: Evidence, entity: str, name: str, link: Link) -> bool:
    """Whether what a person reads of it is so."""
    record = evidence.cmms.tables[entity].records.get(int(link.cmms_id or 0))
    row = evidence.row(entity, link.row_id)
    match link.parked[name].reason:
        case "went_back":
            rewound = evidence.conditions.rewound
            # A row that the backup lacks may have been made again by a create that was under way.
            rows = rewound["dynamics"] | evidence.conditions.resumed | evidence.conditions.vanished["dynamics"]
            return (entity, link.cmms_id) in rewound["cmms"] or (entity, link.row_id) in rows
        case "gone_from_cmms":
            return (entity, link.cmms_id) in evidence.conditions.vanished["cmms"]
        case "gone_from_dynamics":
            return record is not None and row is None and (entity, link.row_id) in evidence.observer.removed
        case "row_replaced":
            if row is None:
                return _has_no_known_row(evidence, entity, str(link.cmms_id))
            removed = (entity, link.row_id) in evidence.observer.removed
            return removed or _came_late(evidence, entity, str(row.id))
        case "key_not_usable":
            return _key_is_taken(evidence, entity, link, record, row)
        case "record_closed":
            # A closed row refuses its key as any field; its record goes on with what the CMMS may still take.
            column = KEY_COLUMNS[entity]
            if name == "*" or row is None or record is None:
                return False
            return is_closed(entity, row) and row.values[column] != record[KEYS[entity]]
        case "rejected_by_target":
            given = record.get("nombre") if record is not None else ""
            return entity == "asset" and row is None and (given is None or len(given) > LONGEST_NAME)
    return False


def _key_is_taken(evidence: Evidence, entity: str, link: Link, record: Fields | None, row: Row | None) -> bool:
    """Whether another row has the record's key, or another record the row's."""
    rows = [(key, one) for key, one in evidence.rows(entity) if str(one.id) != link.row_id]
    if record is not None:
        return any(folded(key) == folded(str(record[KEYS[entity]])) for key, _ in rows)
    if row is None:
        return False
    found = evidence.cmms.find(entity, str(row.values[KEY_COLUMNS[entity]]))
    holder = evidence.link(entity, record=str(found[0])) if found is not None else None
    return holder is not None and holder.row_id != link.row_id


def folded(key: str) -> str:
    """A key as Dynamics compares it."""
    return key.strip().casefold()


def is_closed(entity: str, row: Row) -> bool:
    """Whether Dynamics refuses edits of the row: an asset's never does."""
    return entity == "order" and row.values["statecode"] != 0


def held_back(evidence: Evidence, entity: str, name: str, link: Link, cmms: str | None, row: Row) -> Iterator[str]:
    """Faults of a field that counts as parked."""
    reason = link.parked[name].reason
    kin = evidence.kin(entity, link)
    keys = {key for side, one in kin for key in evidence.history.keys[side, entity, one]}
    if not any(one.get("key") in keys and one.get("field") == name for one in evidence.parked):
        yield f"{entity} {link.key} {name}: held back as {reason}, but nothing was parked"
    if name == KEYS[entity] and reason == "key_not_usable":
        return  # judged with the whole record
    if reason == "no_effect" and _shows_nothing(evidence, entity, name, kin):
        return
    if not _rightly(evidence, entity, name, reason, cmms, row):
        yield f"{entity} {link.key} {name}: held back as {reason} without cause"


def _rightly(evidence: Evidence, entity: str, name: str, reason: str, cmms: str | None, row: Row) -> bool:
    if reason == "mass_clear":
        return evidence.conditions.mass
    if reason == "rejected_by_target" and name in evidence.conditions.secured:
        return True
    if reason == "currency_changed":
        return name in DECIMALS and (entity, str(row.id)) in evidence.conditions.revalued
    if reason == "mapping_error":
        return name == "nombre" and cmms is not None and len(cmms) > LONGEST_NAME
    if reason == "rejected_by_target":
        return name == "numero_de_serie" and refused_by_cmms(
            normal(name, row.values[evidence.history.rules.columns[name]])
        )
    # A closed order can still change its state.
    return reason == "record_closed" and name != "estado" and is_closed(entity, row)
