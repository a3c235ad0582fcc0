"""A record that one side lacks is made there, with everything that the other side knows of it."""

from copy import replace
from dataclasses import dataclass

from shared.domain.blocked import Blocked, digest
from shared.domain.decide.delete import is_inactive
from shared.domain.decide.plan import Plan, nothing
from shared.domain.decide.refused import known_refusals, marks_of, refused_now
from shared.domain.decide.situation import Context, Snapshot
from shared.domain.link import Seen
from shared.domain.merge import FieldWrite, Merged
from shared.domain.model import Record, Side, Value, other, without
from shared.domain.schema.mapping import EntityMapping
from shared.domain.write import Intent, Write
from shared.errors import PermanentError


def create_in_dynamics(snapshot: Snapshot, context: Context) -> Plan:
    """What the CMMS says, translated; what cannot be translated is parked, and the rest is created.

    Returns:
        A plan whose write has the id of the row to make again, or of a create in doubt; else the announcement chooses.
    """
    entity, link, cmms = context.entity, snapshot.link, snapshot.cmms
    if "dynamics" not in entity.create_in:
        return nothing(snapshot)
    born = _newborn("cmms", cmms, snapshot, context)
    later = False
    for name, rule in entity.state_fields.items():
        said = born.values.get(name)
        if rule.state_of(said) == entity.active.state:
            continue
        # A row is born active: any other state takes a second write. Whatever the CMMS says of the state is then news.
        later |= said is not None
        born.values[name], born.sources[name] = str(entity.active.status), None
    # What was agreed with an earlier row means nothing for a new one. What that row said, and may still reach the CMMS,
    # is then a write that nobody announced: both meet again, on record.
    update: dict[str, object] = {
        "intents": link.intents_of("dynamics"),
        "deleted_at": None,
        "takes_over": None,
        "bases": {},
        "key": cmms.key,
        # A create in doubt says what the CMMS held when it was first sent.
        "seen": Seen().after(cmms) if link.create_of("dynamics") is None else link.seen,
    }
    return Plan(
        snapshot.stored,
        link.identified_by(cmms).model_copy(update=update),
        to_dynamics=Write(side="dynamics", target=link.row_id, etag=None, values=born.values, sources=born.sources),
        blocked=born.blocked,
        # Another look ends an operator's word on a restored side.
        unfinished=later or link.restored is not None,
        decided=True,
        still_parked=born.known,
    )


def create_in_cmms(snapshot: Snapshot, context: Context) -> Plan:
    """What the row says, translated; a record is born with every field that is known, whatever the field's direction.

    Returns:
        A plan that creates the record; one without writes where the CMMS could not see that the row is retired.
    """
    entity, link, row = context.entity, snapshot.link, snapshot.row
    if is_inactive(entity, row) and not entity.state_fields:
        # The CMMS could not see that the row is retired: creating the record there would revive it.
        return nothing(snapshot)
    born = _newborn("dynamics", row, snapshot, context)
    return Plan(
        snapshot.stored,
        link.model_copy(update={"row_id": row.id, "key": row.key, "seen": link.seen.after(row)}),
        to_cmms=Write(side="cmms", target=None, etag=None, values=born.values, sources=born.sources, operation=row.id),
        blocked=born.blocked,
        decided=True,
        still_parked=born.known,
    )


@dataclass(frozen=True)
class _Newborn:
    """A record to be made: the values to write, in the mapping's order, and their sources.

    `blocked` are the fields that cannot be written, `known` those that were refused before.
    """

    values: dict[str, Value]
    sources: dict[str, Value]
    blocked: tuple[Blocked, ...]
    known: frozenset[str]


def _newborn(side: Side, source: Record, snapshot: Snapshot, context: Context) -> _Newborn:
    """What a side says of each field, translated for the other one.

    A create in doubt says what it said before, so that the same is made whichever try lands: only what was refused, or
    has another rule since, is left out. What the side says otherwise by now is a change once the create is settled.
    """
    entity, target, key = context.entity, other(side), context.entity.key.name
    name: Value = source.key
    merged = _said(side, source, entity)
    doubted = snapshot.link.create_of(target)
    if doubted is not None:
        merged, name = replace(merged, writes=_sent(doubted, key)), doubted.values[key]
    merged = merged.parking(refused_now(context.refused, marks_of(entity, merged.writes)))
    known = known_refusals(snapshot.link, context.insists_on, marks_of(entity, merged.writes))
    writes = (*merged.without(known).writes, FieldWrite(key, target, name, name, None))
    return _Newborn(
        values={one.field: one.value for one in writes if one.value is not None},
        sources={one.field: one.source for one in writes},
        blocked=merged.blocked,
        known=known,
    )


def _said(side: Side, source: Record, entity: EntityMapping) -> Merged:
    """What a side says of each field but the business key; what cannot be translated is blocked."""
    blocked = [Blocked(name, side, bad.digest, bad.error) for name, bad in source.errors.items()]
    said: list[FieldWrite] = []
    for name, rule in without(entity.fields, source.errors).items():
        if name in source.values:
            value = source.values[name]
            try:
                # Nothing is agreed as well as something is.
                sent = None if value is None else rule.translate(value, other(side))
                said.append(FieldWrite(name, other(side), sent, value, None))
            except PermanentError as error:
                blocked.append(Blocked(name, side, digest(value), error))
    return Merged(writes=tuple(said), blocked=tuple(blocked))


def _sent(create: Intent, key: str) -> tuple[FieldWrite, ...]:
    """What a create said of each field but the business key, as far as its rule is still the same."""
    said = without(create.sources, {key}).items()
    return tuple(FieldWrite(name, create.side, create.values.get(name), source, None) for name, source in said)
