"""What is parked must be parked for cause: a person who reads it finds in the stores what it says."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from local.emulators.dataverse.rows import Row
from shared.domain.link import Link
from tests.simulation.cmms_model import QUEUES, Fields
from tests.simulation.edits import SIDES, Name, Side
from tests.simulation.evidence import Evidence
from tests.simulation.observe import normal
from tests.simulation.tables import DECIMALS, KEY_COLUMNS, KEYS, REFERRING, refused_by_cmms

LONGEST_NAME = 100
ATTEMPTS = 12


def messages(evidence: Evidence) -> Iterator[str]:
    """Faults of what was given up or parked."""
    if evidence.dead_letters:
        yield f"{evidence.dead_letters} messages were given up by the broker"
    for parked, body in zip(evidence.parked, evidence.bodies, strict=True):
        if not _is_original(parked, body):
            yield f"{parked.get('key')}: parked without the message that a replay would send: {body[:200]!r}"
        elif not _had_cause(evidence, parked):
            yield f"{parked.get('key')}: a message was parked as {parked.get('reason')}, and nothing of it was ever so"
        if not parked.get("message") or not (parked.get("key") or parked.get("correlation_id")):
            yield f"parked without a reason that a person can act on: {json.dumps(parked, default=str)[:400]}"


def _is_original(parked: Mapping[str, object], body: bytes) -> bool:
    """Whether this is the message that the properties tell of, and names a record."""
    try:
        event = json.loads(body)
    except ValueError:
        return False
    data = event.get("data", {})
    return event.get("id") == parked.get("correlation_id") and any(data.get(n) for n in ("key", "record_id", "cmms_id"))


@dataclass(frozen=True)
class _Case:
    """A parked message, with the records and rows that ever had its key, and all that these were ever linked with."""

    evidence: Evidence
    parked: Mapping[str, object]
    entity: str
    kin: set[Name]

    @property
    def key(self) -> str:
        """The key under which it was parked."""
        return str(self.parked.get("key"))

    @property
    def field(self) -> str | None:
        """The field for which it was parked."""
        field = self.parked.get("field")
        return None if field is None else str(field)

    def names(self, side: Side) -> list[str]:
        """The ids of the records, or of the rows."""
        return [name for of, name in self.kin if of == side]

    def any_in(self, known: Collection[tuple[str, str]], *sides: Side) -> bool:
        """Whether one of them, of one of these sides, is among what is known as (entity, id)."""
        return any((self.entity, name) in known for side, name in self.kin if not sides or side in sides)


def _had_cause(evidence: Evidence, parked: Mapping[str, object]) -> bool:
    """Whether what it says was so at any time of what had this key: since then people may have mended it."""
    entity = next(entity for entity, queue in QUEUES.items() if queue == parked.get("source_queue"))
    history, key = evidence.history, str(parked.get("key"))
    named = [(side, name) for (side, of, name), had in history.keys.items() if of == entity and key in had]
    cause = _CAUSES.get(str(parked.get("reason")))
    return cause is not None and cause(_Case(evidence, parked, entity, history.kin(entity, named)))


def _went_back(case: _Case) -> bool:
    conditions = case.evidence.conditions
    # A message that failed often for other reasons has no patience left for a list read that lags.
    lagged = conditions.stale or case.any_in(_made_again(case.evidence), "dynamics")
    unwritten = case.any_in(conditions.unwritten, "cmms")
    back = any(case.any_in(conditions.went_back(side), side) for side in SIDES)
    other = any(_may_be_another(case.evidence, case.entity, record) for record in case.names("cmms"))
    # A row that the restore took tells of it as soon as it is made again under its id.
    taken = [(entity, row) for entity, row in conditions.vanished["dynamics"] if entity == case.entity]
    again = any(case.evidence.row(*one) is not None for one in taken)
    edited = again and case.any_in(conditions.edited["dynamics"], "dynamics")
    return lagged or unwritten or back or other or edited


def _may_be_another(evidence: Evidence, entity: str, record: str | None) -> bool:
    """Whether a record was renamed, and an operator said that the CMMS was restored: a lost one may have had its id."""
    return "cmms" in evidence.conditions.said and len(evidence.history.keys["cmms", entity, str(record)]) > 1


def _made_again(evidence: Evidence) -> set[tuple[str, str]]:
    """The rows that a create under way may have made again in a restored Dynamics, which counts versions anew.

    The backup lacks such a row, or a person had deleted it.
    """
    conditions = evidence.conditions
    deleted = evidence.observer.removed.keys() if conditions.highest else frozenset()
    return conditions.vanished["dynamics"] | deleted


def _gone_from_cmms(case: _Case) -> bool:
    conditions = case.evidence.conditions
    return conditions.stale or any(case.any_in(conditions.vanished[side], side) for side in SIDES)


def _gone_from_dynamics(case: _Case) -> bool:
    return case.any_in(case.evidence.observer.removed, "dynamics")


def _row_replaced(case: _Case) -> bool:
    late = any(
        _came_late(case.evidence, case.entity, row) or _was_made_of(case.evidence, case.entity, row)
        for row in case.names("dynamics")
    )
    unknown = any(_has_no_known_row(case.evidence, case.entity, record) for record in case.names("cmms"))
    return (
        late
        or unknown
        or _gone_from_dynamics(case)
        or any(_looks_made_again(case.evidence, case.entity, row) for row in case.names("dynamics"))
    )


def _looks_made_again(evidence: Evidence, entity: str, row: str) -> bool:
    """Whether a restored row may show its create once more, under a newer version: what it refers to was deleted.

    A create that arrives late looks like that, and a person compares both sides after either.
    """
    return (entity, row) in evidence.conditions.went_back("dynamics") and bool(evidence.conditions.lacked)


def _key_not_usable(case: _Case) -> bool:
    history, key = case.evidence.history, folded(case.key)
    alike = [
        (side, name) for (side, of, name), had in history.keys.items() if of == case.entity and key in map(folded, had)
    ]
    several = not set(alike) <= history.kin(case.entity, alike[:1])
    rows = sum(side == "dynamics" for side, _ in alike)
    return several or rows > 1 or _came_and_went(case.evidence, case.entity, case.kin)


def _rejected(case: _Case) -> bool:
    """A value that the CMMS does not take; a name that Dynamics does not; anything for a secured column."""
    if case.field in case.evidence.conditions.secured:
        return True
    if case.field == "numero_de_serie":
        given = case.evidence.history.held("dynamics", case.entity, "numero_de_serie", case.kin)
        return any(refused_by_cmms(edit.value) for edit in given)
    # A row cannot be made without its name: where the CMMS's is too long, Dynamics refuses the rest as well.
    return case.field == "nombre" and _mapping_error(case)


def _named_nothing(case: _Case) -> bool:
    """Whether the CMMS ever named what stood for no row then."""
    given = case.evidence.history.held("cmms", case.entity, REFERRING, case.kin)
    return any(edit.value in case.evidence.conditions.lacked for edit in given)


def _mapping_error(case: _Case) -> bool:
    given = case.evidence.history.held("cmms", case.entity, "nombre", case.kin)
    # Of a record whose later changes were told before its creation, nothing but these is known.
    return case.evidence.cmms.partial or any(
        edit.value is not None and len(edit.value) > LONGEST_NAME for edit in given
    )


_CAUSES: Mapping[str, Callable[[_Case], bool]] = {
    "currency_changed": lambda case: case.any_in(case.evidence.conditions.revalued),
    "gone_from_cmms": _gone_from_cmms,
    "gone_from_dynamics": _gone_from_dynamics,
    "invalid_message": lambda case: case.evidence.conditions.orderless and case.entity == "order",
    "key_not_usable": _key_not_usable,
    "lookup_pending": lambda case: case.field == REFERRING and _named_nothing(case),
    "mapping_error": _mapping_error,
    "mass_clear": lambda case: case.evidence.conditions.mass,
    "no_effect": lambda case: _shows_nothing(case.evidence, case.entity, str(case.field), case.kin),
    "not_yet_visible": lambda case: case.parked.get("attempts") == ATTEMPTS,
    "record_closed": lambda case: case.entity == "order" and case.field not in {None, "estado"},
    "rejected_by_target": _rejected,
    "row_replaced": _row_replaced,
    "went_back": _went_back,
}
"""By reason, whether that was ever so. What is parked for another reason is a fault of the product.

`record_missing` is none of them: this CMMS shows a tombstone of everything that it deleted.
"""


def _has_no_known_row(evidence: Evidence, entity: str, record: str) -> bool:
    """Whether a record was made late, for a row that had another one, or its link, or its row, went with a restore.

    The row that it was made of may also have been deleted by a person, before the ledger knew both together, or be
    known as another record's or as nobody's.
    """
    gone = evidence.conditions.vanished["dynamics"]
    made_of = {str(pk): str(one.created_by) for pk, one in evidence.cmms.tables[entity].memories.items()}
    lost = any((entity, row) in gone for row in evidence.history.partners["cmms", entity, record])
    origin = made_of.get(record, "")
    deleted = (entity, origin) in evidence.observer.removed
    holder = evidence.link(entity, row=origin)
    apart = holder is not None and holder.cmms_id != record
    return lost or deleted or apart or (entity, record) in evidence.observer.late | evidence.conditions.forgotten


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


def _was_made_of(evidence: Evidence, entity: str, row: str) -> bool:
    """Whether the CMMS made a record of the row that was deleted, and whose link does not have the row."""
    memories = evidence.cmms.tables[entity].memories.items()
    deleted = [str(pk) for pk, one in memories if one.created_by == row and one.deleted]
    links = [evidence.link(entity, record=record) for record in deleted]
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


def _lagged_before_an_edit(evidence: Evidence, entity: str, link: Link, row: Row | None) -> bool:
    """Whether a lagging read had the record held, and somebody edited it before the next look.

    That looks like an edit of a side that was restored, in which what was taken back is missing still.
    """
    memory = evidence.cmms.tables[entity].memories.get(int(link.cmms_id or 0))
    shown = {
        "dynamics": (row.version if row is not None else None, link.seen.row_version),
        "cmms": (memory.revision if memory is not None else None, link.seen.cmms_revision),
    }
    now, seen = shown[link.parked["*"].side]
    return evidence.conditions.stale and now is not None and seen is not None and now > seen


def _whole_rightly(evidence: Evidence, entity: str, name: str, link: Link) -> bool:
    """Whether what a person reads of it is so."""
    record = evidence.cmms.tables[entity].records.get(int(link.cmms_id or 0))
    row = evidence.row(entity, link.row_id)
    match link.parked[name].reason:
        case "went_back":
            conditions = evidence.conditions
            rows = conditions.went_back("dynamics") | _made_again(evidence)
            records = conditions.went_back("cmms") | conditions.unwritten
            other = _may_be_another(evidence, entity, link.cmms_id) or _lagged_before_an_edit(
                evidence, entity, link, row
            )
            return other or (entity, link.cmms_id) in records or (entity, link.row_id) in rows
        case "gone_from_cmms":
            return (entity, link.cmms_id) in evidence.conditions.vanished["cmms"]
        case "gone_from_dynamics":
            return record is not None and row is None and (entity, link.row_id) in evidence.observer.removed
        case "row_replaced":
            if row is None:
                return _has_no_known_row(evidence, entity, str(link.cmms_id))
            removed = (entity, link.row_id) in evidence.observer.removed
            late = _came_late(evidence, entity, str(row.id))
            alike = _looks_made_again(evidence, entity, str(row.id))
            return removed or late or alike or _was_made_of(evidence, entity, str(row.id))
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
    # A record's figures are of the currency that it agreed on, also once it has met another row.
    revalued = any((entity, one) in evidence.conditions.revalued for _, one in kin)
    if reason == "currency_changed" and name in DECIMALS and revalued:
        return
    if not _rightly(evidence, entity, name, reason, cmms, row):
        yield f"{entity} {link.key} {name}: held back as {reason} without cause"


def _rightly(evidence: Evidence, entity: str, name: str, reason: str, cmms: str | None, row: Row) -> bool:
    if reason == "mass_clear":
        return evidence.conditions.mass
    if reason == "rejected_by_target" and name in evidence.conditions.secured:
        return True
    if reason == "lookup_pending":
        return name == REFERRING and cmms in evidence.conditions.lacking
    if reason == "mapping_error":
        return name == "nombre" and cmms is not None and len(cmms) > LONGEST_NAME
    if reason == "rejected_by_target":
        return name == "numero_de_serie" and refused_by_cmms(
            normal(name, row.values[evidence.history.rules.columns[name]])
        )
    # A closed order can still change its state.
    return reason == "record_closed" and name != "estado" and is_closed(entity, row)
