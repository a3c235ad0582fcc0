"""What is parked must be parked for cause: a person who reads it finds in the stores what it says."""

import json
from collections.abc import Iterator, Mapping

from local.emulators.dataverse.rows import Row
from shared.domain.ledger import Entry
from tests.simulation.cmms_model import QUEUES
from tests.simulation.evidence import Evidence
from tests.simulation.tables import DEAD_STATE, KEY_COLUMNS, KEYS

LONGEST_NAME = 100
ATTEMPTS = 12
REASONS = frozenset({"mapping_error", "record_closed", "gone_from_dynamics", "key_not_usable", "not_yet_visible"})
"""What may stand on a parked message here; every other reason is a fault of the product.

`gone_from_cmms` is none of them: this CMMS shows a tombstone of everything that it deleted.
"""


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
        nameless = (parked.get("reason"), parked.get("field")) == ("rejected_by_target", "nombre")
        known = parked.get("reason") in REASONS or nameless
        if not known or not parked.get("message") or not (parked.get("key") or parked.get("correlation_id")):
            yield f"parked without a reason that a person can act on: {json.dumps(parked, default=str)[:400]}"


def _is_original(parked: Mapping[str, object], body: bytes) -> bool:
    """Whether this is the message that the properties tell of, and names a record."""
    try:
        event = json.loads(body)
    except ValueError:
        return False
    data = event.get("data", {})
    return event.get("id") == parked.get("correlation_id") and bool(data.get("key") or data.get("record_id"))


def _had_cause(evidence: Evidence, parked: Mapping[str, object]) -> bool:
    """Whether what it says was so of its key at any time: since then people may have mended it."""
    key, reason = str(parked.get("key")), parked.get("reason")
    entity = next(entity for entity, queue in QUEUES.items() if queue == parked.get("source_queue"))
    history = evidence.history
    match reason:
        case "gone_from_dynamics":
            return bool(history.keys_alike(entity, key) & {of for kind, of in history.removed if kind == entity})
        case "key_not_usable":
            alike = [(side, keys) for (side, of, _), keys in history.keys.items() if of == entity]
            alike = [(side, keys) for side, keys in alike if _folded(key) in map(_folded, keys)]
            rows = sum(side == "dynamics" for side, _ in alike)
            gone = {*evidence.observer.deleted_keys, *evidence.observer.renamed_keys}
            # Two rows had the key, or one had it that came or went, or its record was another one before or since.
            return rows > 1 or (rows == 1 and any(len(keys) > 1 for _, keys in alike)) or (entity, key) in gone
        case "mapping_error" | "rejected_by_target":
            given = history.held("cmms", entity, "nombre", key)
            return any(edit.value is not None and len(edit.value) > LONGEST_NAME for edit in given)
        case "record_closed":
            return entity == "order" and parked.get("field") not in {None, "estado"}
    return reason == "not_yet_visible" and parked.get("attempts") == ATTEMPTS


def whole_records(evidence: Evidence, *, everything_seen: bool) -> Iterator[str]:
    """Faults of the records that are held back as a whole, or by their key, whether the CMMS has them or not."""
    for (entity, key), entry in evidence.entries.items():
        if (entity, key) in evidence.unannounced:
            continue
        for name in ("*", KEYS[entity]):
            if name not in entry.parked:
                continue
            reason = entry.parked[name].reason
            if not any((one.get("key"), one.get("reason")) == (key, reason) for one in evidence.parked):
                yield f"{entity} {key}: held back as {reason}, but nothing was parked"
            mended = not everything_seen and name == "*" and _was_mended(evidence, entity, entry)
            # What a record that is held back as a whole leaves undecided stays as it was.
            undecided = name != "*" and "*" in entry.parked
            if not (mended or undecided or _whole_rightly(evidence, entity, name, entry)):
                yield f"{entity} {key}: {name} held back as {reason} without cause"


def _whole_rightly(evidence: Evidence, entity: str, name: str, entry: Entry) -> bool:
    """Whether what a person reads of it is so."""
    found = evidence.cmms.find(entity, entry.key)
    bound = next((row for _, row in evidence.rows(entity) if str(row.id) == entry.dynamics_id), None)
    match entry.parked[name].reason:
        case "gone_from_dynamics":
            removed = {str(row_id) for row_id in evidence.observer.removed_rows}
            return found is not None and bound is None and entry.dynamics_id in removed
        case "key_not_usable":
            return name == "*" and _key_is_taken(evidence, entity, entry, bound)
        case "record_closed":
            # A closed row refuses its key as any field; its record goes on with what the CMMS may still take.
            key = KEY_COLUMNS[entity]
            return name != "*" and bound is not None and is_closed(entity, bound) and bound.values[key] != entry.key
        case "rejected_by_target":
            given = found[1].get("nombre") if found is not None else ""
            return entity == "asset" and bound is None and (given is None or len(given) > LONGEST_NAME)
    return False


def _was_mended(evidence: Evidence, entity: str, entry: Entry) -> bool:
    """Whether a person did what the park of a lost record's key asks for: before a full pass nobody looks at it."""
    reason = entry.parked["*"].reason
    if evidence.cmms.find(entity, entry.key) is not None:
        return False
    if reason == "gone_from_dynamics":
        # Its record went to another key, and has another row there: the message tells of the new key only.
        return (entity, entry.key) in evidence.observer.renamed_keys
    if reason != "key_not_usable":
        return False
    rows = {str(row.id): row for _, row in evidence.rows(entity)}
    history = evidence.history.keys
    had = [
        row for side, of, row in history if (side, of) == ("dynamics", entity) and entry.key in history[side, of, row]
    ]
    return any(
        row not in rows
        or str(rows[row].values[KEY_COLUMNS[entity]]) != entry.key
        or rows[row].values["statecode"] == DEAD_STATE[entity]
        for row in had
        if row != entry.dynamics_id
    )


def _key_is_taken(evidence: Evidence, entity: str, entry: Entry, bound: Row | None) -> bool:
    """Whether Dynamics or the ledger has somebody else under this key."""
    rows = list(evidence.rows(entity))
    of_key = [row for key, row in rows if key == entry.key]
    strange = [row for row in of_key if str(row.id) != entry.dynamics_id]
    others = {one.dynamics_id for (of, key), one in evidence.entries.items() if of == entity and key != entry.key}
    if len(of_key) > 1 or (bound is not None and strange) or any(str(row.id) in others for row in of_key):
        return True
    if evidence.cmms.find(entity, entry.key) is None and any(
        row.values["statecode"] != DEAD_STATE[entity] for row in strange
    ):
        # The record is gone, and the row was never its own; but a record that never was must have been made of it.
        return (entity, entry.key) in {*evidence.observer.deleted_keys, *evidence.observer.renamed_keys}
    alike = [row for key, row in rows if key != entry.key and _folded(key) == _folded(entry.key)]
    return not of_key and any(str(row.id) != entry.dynamics_id for row in alike)


def _folded(key: str) -> str:
    return key.strip().casefold()


def is_closed(entity: str, row: Row) -> bool:
    """Whether Dynamics refuses edits of the row: an asset's never does."""
    return entity == "order" and row.values["statecode"] != 0


def held_back(evidence: Evidence, entity: str, name: str, entry: Entry, cmms: str | None, row: Row) -> Iterator[str]:
    """Faults of a field that counts as parked."""
    key, reason = entry.key, entry.parked[name].reason
    if not any(one.get("key") == key and one.get("field") == name for one in evidence.parked):
        yield f"{entity} {key} {name}: held back as {reason}, but nothing was parked"
    if not _rightly(entity, name, reason, cmms, row):
        yield f"{entity} {key} {name}: held back as {reason} without cause"


def _rightly(entity: str, name: str, reason: str, cmms: str | None, row: Row) -> bool:
    if reason == "mapping_error":
        return name == "nombre" and cmms is not None and len(cmms) > LONGEST_NAME
    # A closed order can still change its state.
    return reason == "record_closed" and name != "estado" and is_closed(entity, row)
