"""Writes whose answer was lost: what the written side shows decides, not what is likely.

The decision table stands in docs/architecture.md.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from shared.domain.link import Base, ConflictRecord, Intent, Link, Seen
from shared.domain.model import CmmsRecord, DynamicsRecord, Record, Value
from shared.domain.schema.mapping import EntityMapping
from shared.domain.schema.values import rounds_to

LATEST: Final = timedelta(minutes=15)
"""How long after its intent's expiry a request may still be on its way. No service holds a request for longer."""

type Verdict = Literal["landed", "not_landed", "open", "unclear"]


@dataclass(frozen=True)
class Evidence:
    """What one side shows of a write.

    `shows` is None where the side does not name writes. `last` tells whether the write was the last change there, so
    that every value is what the side made of the write.
    """

    exists: bool
    etag: str | None
    shows: bool | None
    last: bool


def verdict(intent: Intent, evidence: Evidence, now: datetime) -> Verdict:
    """Decide about one write in doubt.

    Returns:
        `landed`; `not_landed`, and it cannot land any more; `open` while it may still land; `unclear` where the side
        changed without naming its writes, so that the values decide.
    """
    late = now >= intent.expires_at + LATEST
    if evidence.shows:
        return "landed"
    if intent.creates:
        if not evidence.exists:
            return "not_landed" if late else "open"
        # Only a create of ours gives a row this id. A record that does not show the create was made by another one.
        return "landed" if intent.side == "dynamics" else "not_landed"
    if evidence.exists and evidence.etag == intent.etag:
        return "not_landed" if late else "open"
    return "not_landed" if evidence.shows is False or not evidence.exists else "unclear"


def resolve_in_doubt(
    entity: EntityMapping,
    link: Link,
    cmms: CmmsRecord | None,
    row: DynamicsRecord | None,
    now: datetime,
    *,
    us: str | None = None,
) -> Link:
    """Settle every intent of the link that what both sides show decides.

    Args:
        entity: The record's mapping.
        link: As the ledger holds it.
        cmms: What the CMMS shows of the record, if anything.
        row: The link's row, if Dynamics shows it.
        now: In UTC.
        us: The id of our user in Dynamics; None where it is not known.

    Returns:
        The link, without the settled intents: its bases follow each write that landed.
    """
    for intent in link.intents:
        record: Record | None = row if intent.side == "dynamics" else cmms
        evidence = _of_row(entity, row, intent, us) if intent.side == "dynamics" else _of_record(cmms, intent)
        match verdict(intent, evidence, now):
            case "open":
                continue
            case "landed" if record is not None:
                link = _landed(entity, link, intent, record, last=evidence.last)
            case "unclear" if record is not None:
                link = _by_values(entity, link, intent, record, now)
            case _:
                link = _not_landed(link, intent)
    return link


def may_still_land(link: Link, now: datetime) -> timedelta | None:
    """How long the longest write in doubt may still land; None where nothing is in doubt."""
    return max((intent.expires_at + LATEST - now for intent in link.intents), default=None)


def _of_row(entity: EntityMapping, row: DynamicsRecord | None, intent: Intent, us: str | None) -> Evidence:
    if row is None:
        return Evidence(exists=False, etag=None, shows=None, last=False)
    shows = None if entity.stamp is None or not intent.stamped else row.stamp == intent.id
    last = bool(shows) and us is not None and row.modified_by == us
    return Evidence(exists=True, etag=row.etag, shows=shows, last=last)


def _of_record(record: CmmsRecord | None, intent: Intent) -> Evidence:
    if record is None or record.deleted:
        return Evidence(exists=False, etag=None, shows=None, last=False)
    taken = record.operations
    shows = None if taken is None else intent.id in taken
    last = record.last_operation == intent.id and record.by_us
    return Evidence(exists=True, etag=record.etag, shows=shows, last=last)


def _landed(entity: EntityMapping, link: Link, intent: Intent, record: Record, *, last: bool) -> Link:
    """Both bases follow the write. Where somebody may have edited since, what was intended counts as written."""
    bases = dict(link.bases)
    key = entity.key.name
    for name, source in intent.sources.items():
        intended = intent.values.get(name)
        if not _same_rule(entity, intent, name):
            bases.pop(name, None)
            continue
        shown = record.held(key, name, intended)
        if last and is_idle(intent, name, shown):
            continue  # written once more: then the answer tells that it has no effect
        bases[name] = base(entity, intent, name, source, shown if last else intended)
    return _without(link, intent).model_copy(update={"bases": bases, "seen": _seen(link, record)})


def _by_values(entity: EntityMapping, link: Link, intent: Intent, record: Record, now: datetime) -> Link:
    """Three lines for each field: the intended value: landed; the old value: did not; else as landed, on record."""
    bases = dict(link.bases)
    conflicts: list[ConflictRecord] = []
    for name, source in intent.sources.items():
        intended = intent.values.get(name)
        if not _same_rule(entity, intent, name):
            bases.pop(name, None)
            continue
        shown = record.held(entity.key.name, name)
        if shown != intended and shown == intent.before.get(name):
            continue
        bases[name] = base(entity, intent, name, source, intended)
        if shown != intended:
            conflicts.append(
                ConflictRecord(field=name, winner=intent.side, won=shown, lost=intended, why="late_write", at=now)
            )
    return _without(link, intent).model_copy(update={"bases": bases, "conflicts": (*link.conflicts, *conflicts)})


def _same_rule(entity: EntityMapping, intent: Intent, name: str) -> bool:
    """Whether the field is still mapped as it was when it was written: else its column may be another one by now."""
    rule = entity.rules.get(name)
    return rule is not None and intent.rules.get(name, rule.fingerprint) == rule.fingerprint


def _not_landed(link: Link, intent: Intent) -> Link:
    left = _without(link, intent)
    unborn = intent.creates and intent.side == "dynamics" and link.row_id == intent.target
    return left.model_copy(update={"row_id": None}) if unborn else left


def is_idle(intent: Intent, name: str, shown: Value) -> bool:
    """Whether a field that was written still holds what it held before; rounding is an effect."""
    written = intent.values.get(name)
    return shown != written and shown == intent.before.get(name) and not rounds_to(written, shown)


def base(entity: EntityMapping, intent: Intent, name: str, source: str | None, shown: str | None) -> Base:
    """The bases of one field after a write: what the source held, and what the written side holds."""
    rule = entity.rules[name].fingerprint
    if intent.side == "dynamics":
        return Base(cmms=source, dynamics=shown, rule=rule)
    return Base(cmms=shown, dynamics=source, rule=rule)


def _seen(link: Link, record: Record) -> Seen:
    if isinstance(record, DynamicsRecord):
        update: dict[str, object] = {"row_version": record.version, "stamp": record.stamp, "row_made": record.created}
    else:
        update = {"operation": record.last_operation if isinstance(record, CmmsRecord) else None}
    return link.seen.model_copy(update=update)


def _without(link: Link, intent: Intent) -> Link:
    return link.model_copy(update={"intents": tuple(one for one in link.intents if one.id != intent.id)})
