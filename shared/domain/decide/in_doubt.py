"""Writes whose answer was lost: what the written side shows decides, not what is likely.

The decision table stands in docs/architecture.md.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Literal

from shared.domain.base import NEWS, Base, Why
from shared.domain.link import ConflictRecord, Link, Seen
from shared.domain.model import CmmsRecord, DynamicsRecord, Record, Side, Value, other, without
from shared.domain.schema.mapping import EntityMapping
from shared.domain.schema.values import is_other
from shared.domain.write import Intent, part_of

LATEST: Final = timedelta(minutes=15)
"""How long after its intent's expiry a request may still be on its way. No service holds a request for longer."""

LATE: Final[Why] = "late_write"

type Verdict = Literal["landed", "not_landed", "open", "unclear"]


def verdict(intent: Intent, shown: Record, now: datetime) -> Verdict:
    """Decide about one write in doubt, by what the written side shows.

    Returns:
        `landed`; `not_landed`, and it cannot land any more; `open` while it may still land; `unclear` where the side
        changed without naming its writes, or shows a part of the write, so that the values decide.
    """
    unmoved: Verdict = "not_landed" if now >= intent.expires_at + LATEST else "open"
    if not shown.living:
        return unmoved if intent.creates else "not_landed"
    if shown.shows(intent.id):
        return "landed"
    if intent.creates:
        # Only a create of ours gives a row this id, but perhaps a part of one, sent to find a field that was refused.
        # A record of the CMMS that does not show the create has met the row without it.
        return "unclear" if intent.side == "dynamics" else "not_landed"
    if shown.etag == intent.etag:
        return unmoved
    names_writes = intent.stamped and shown.operations is not None
    return "not_landed" if names_writes and not shown.shows(part_of(intent.id)) else "unclear"


def resolve_in_doubt(entity: EntityMapping, link: Link, cmms: CmmsRecord, row: DynamicsRecord, now: datetime) -> Link:
    """Settle every intent of the link that what both sides show decides.

    Args:
        entity: The record's mapping.
        link: As the ledger holds it.
        cmms: What the CMMS shows of the record.
        row: What Dynamics shows of the link's row.
        now: In UTC.

    Returns:
        The link, without the settled intents: its bases follow each write that landed.
    """
    sides: Mapping[Side, Record] = {"cmms": cmms, "dynamics": row}
    link = _under_present_rules(entity, link)
    for intent in link.intents:
        shown = sides[intent.side]
        match verdict(intent, shown, now):
            case "landed":
                link = _landed(entity, link, intent, shown)
            case "unclear":
                link = _by_values(entity, link, intent, shown, now)
            case "not_landed":
                link = _not_landed(link, intent)
    return link


def may_still_land(link: Link, now: datetime) -> timedelta | None:
    """How long the longest write in doubt may still land; None where nothing is in doubt."""
    return max((intent.expires_at + LATEST - now for intent in link.intents), default=None)


def is_of_another(link: Link, met: CmmsRecord) -> bool:
    """Whether a record that was met by its row's key is not the one that the row's link makes.

    A create in the CMMS that is in doubt may have landed, and its record be renamed: what has the key now does not show
    the create. Its repetition tells, as the CMMS answers with the record that it made.
    """
    create = link.create_of("cmms")
    return create is not None and met.operations is not None and create.id not in met.operations


def _landed(entity: EntityMapping, link: Link, intent: Intent, shown: Record) -> Link:
    """Both bases follow the write, field by field."""
    # A bulk change of the CMMS (QuerySet.update) leaves no trace: there an update need not be the last change.
    traced = intent.creates or intent.side == "dynamics"
    last = traced and shown.untouched_since == intent.id
    held = {**intent.values, **shown.content(entity.key.name)}
    bases = dict(link.bases)
    for name in intent.sources:
        if (followed := _followed(entity, intent, name, held.get(name), last=last)) is not None:
            bases[name] = followed
    return link.without(intent).model_copy(update={"bases": bases, "seen": _seen(link, shown, intent.id)})


def _followed(entity: EntityMapping, intent: Intent, name: str, held: Value, *, last: bool) -> Base | None:
    """The base of one field after a write that landed, by what the written side holds.

    A field that the write left as it was keeps its base (None): it is written once more, and then the answer tells that
    the write has no effect. Where the write was not the side's last change, somebody may have edited the field since:
    what was intended counts as written, and such a field is unclear, whatever its source says by now. So it is with
    Dynamics' empty lookup: the row that it refers to may have been deleted, which is no change of this row.
    """
    idle = is_idle(intent, name, held)
    last = last and (intent.side, entity.rules[name].type, held) != ("dynamics", "lookup", None)
    if last:
        return None if idle or _is_of_a_forgotten_try(intent, name, held) else base(entity, intent, name, held)
    if idle:
        both: dict[Side, Value] = {intent.side: held, other(intent.side): intent.sources[name]}
        return Base.of(both, entity.fingerprints[name], unclear=intent.side, why=LATE)
    return base(entity, intent, name, held, edited=True)


def _is_of_a_forgotten_try(intent: Intent, name: str, held: Value) -> bool:
    """Whether a new record of the CMMS, which nobody edited, holds of a field what its create did not say.

    All creates of a record for one row have the row's id for a name, and a restored ledger may have forgotten one: both
    sides meet there for the first time.
    """
    return intent.creates and intent.side == "cmms" and is_other(intent.values.get(name, held), held)


def _seen(link: Link, shown: Record, operation: str) -> Seen:
    """What was seen of both sides once one shows a write: another newest one a restored ledger may have forgotten."""
    return link.seen.after(shown) if shown.last_operation == operation else link.seen


def _by_values(entity: EntityMapping, link: Link, intent: Intent, shown: Record, now: datetime) -> Link:
    """For each field: the old value did not land; the intended value landed; another value: as landed, on record."""
    content, part = shown.content(entity.key.name), part_of(intent.id)
    edited_part = shown.shows(part) and shown.untouched_since != part
    conflicts: list[ConflictRecord] = []
    bases = dict(link.bases)
    for name in intent.sources:
        intended, held = intent.values.get(name), content.get(name)
        if held == intent.before.get(name) != intended:
            if edited_part and name not in intent.unsaid:
                # The part left the field out, or somebody has put the old value back: that is on record.
                again: dict[Side, Value] = {intent.side: held, other(intent.side): NEWS}
                bases[name] = Base.of(again, entity.fingerprints[name], why=LATE)
            continue
        bases[name] = base(entity, intent, name, held, edited=True)
        if name not in intent.unsaid and is_other(intended, held):
            lost = intent.sources[name]
            conflicts.append(ConflictRecord(field=name, winner=intent.side, won=held, lost=lost, why=LATE, at=now))
    update = {"bases": bases, "conflicts": (*link.conflicts, *conflicts), "seen": _seen(link, shown, part)}
    return link.without(intent).model_copy(update=update)


def _under_present_rules(entity: EntityMapping, link: Link) -> Link:
    """The link without what its writes in doubt carried under other rules: the column may be another one."""
    present = entity.fingerprints
    gone = {
        name
        for intent in link.intents
        # A state that nobody says is none of a rule's translations.
        for name in intent.sources.keys() - (intent.unsaid & present.keys())
        if present.get(name) != intent.rules.get(name, present.get(name, ""))
    }
    intents = [one.model_copy(update={"sources": without(one.sources, gone)}) for one in link.intents]
    # The state that a row was born with is nobody's under every rule.
    born = {name for name, one in link.bases.items() if name in entity.state_fields and one.is_of_dynamics_alone}
    bases = without(link.bases, gone - born)
    return link.model_copy(update={"bases": bases, "intents": tuple(intents)}) if gone else link


def _not_landed(link: Link, intent: Intent) -> Link:
    # A row that was not made is not the link's.
    unborn = intent == link.create_of("dynamics")
    return link.without(intent).model_copy(update={"row_id": None} if unborn else {})


def is_idle(intent: Intent, name: str, shown: Value) -> bool:
    """Whether a field that was written still holds what it held before; rounding is an effect."""
    return shown == intent.before.get(name) and is_other(intent.values.get(name), shown)


def base(entity: EntityMapping, intent: Intent, name: str, shown: Value, *, edited: bool = False) -> Base:
    """The base of one field after a write: what the source held, and what the written side made of it.

    Args:
        entity: The record's mapping.
        intent: The write.
        name: The field.
        shown: What the written side holds.
        edited: Somebody may have edited it since: then it is what was written, or the difference is an edit.
    """
    written = intent.values.get(name)
    held = written if edited and is_other(written, shown) else shown
    return Base.of({intent.side: held, other(intent.side): intent.sources[name]}, entity.fingerprints[name])
