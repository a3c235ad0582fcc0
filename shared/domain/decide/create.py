"""A record that one side lacks is made there, with everything that the other side knows of it."""

from dataclasses import dataclass

from shared.domain.blocked import Blocked, digest
from shared.domain.decide.delete import is_inactive
from shared.domain.decide.plan import Plan, nothing
from shared.domain.decide.refused import known_refusals, value_digest
from shared.domain.decide.situation import Context, Snapshot
from shared.domain.link import Seen
from shared.domain.model import Record, Side, Value, other, without
from shared.domain.write import Write
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
    state = entity.active.state if entity.active is not None else 0
    later = False
    for name, rule in entity.state_fields.items():
        value = born.values[name]
        if value is not None and rule.state_of(value) == state:
            continue
        # A row is born active: any other state takes a second write. Whatever the CMMS says of the state is then news.
        later |= value is not None
        born.values[name] = None
        born.sources.pop(name, None)
        if entity.active is not None:
            born.values[name], born.sources[name] = str(entity.active.status), None
    # What was agreed with an earlier row means nothing for a new one.
    update: dict[str, object] = {
        "deleted_at": None,
        "takes_over": None,
        "bases": {},
        "key": cmms.key,
        "seen": Seen().after(cmms),
    }
    return Plan(
        snapshot.stored,
        link.identified_by(cmms).model_copy(update=update),
        to_dynamics=born.write(link.row_id),
        blocked=tuple(born.blocked),
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
        to_cmms=born.write(None, operation=row.id),
        blocked=tuple(born.blocked),
        decided=True,
        still_parked=born.known,
    )


@dataclass(frozen=True)
class _Newborn:
    """A record to be made: its values in the mapping's order, None where there is none to write, and their sources.

    `blocked` are the fields that cannot be written, `known` those that were refused before.
    """

    source: Side
    values: dict[str, Value]
    sources: dict[str, Value]
    blocked: list[Blocked]
    known: frozenset[str]

    def write(self, target: str | None, operation: str | None = None) -> Write:
        """The write that makes the record."""
        return Write(
            side=other(self.source),
            target=target,
            etag=None,
            values={name: value for name, value in self.values.items() if value is not None},
            sources=self.sources,
            operation=operation,
        )


def _newborn(side: Side, source: Record, snapshot: Snapshot, context: Context) -> _Newborn:
    """What a side says of each field, translated for the other one."""
    entity, link = context.entity, snapshot.link
    said = {name: source.values[name] for name in entity.fields if name in source.values}
    # Mostly nothing was refused, and no digest need be made.
    asked = said.items() if link.parked or context.refused else ()
    digests = {(name, value_digest(entity, name, value)) for name, value in asked}
    known = known_refusals(link, context, digests)
    blocked = [Blocked(name, side, bad.digest, bad.error) for name, bad in source.errors.items()]
    # Of what was refused just now, the values that the source has not replaced since.
    blocked += [one for one in context.refused if one.side == side and one.mark in digests]
    stopped = known | {block.field for block in blocked}
    values: dict[str, Value] = dict.fromkeys(entity.fields)
    sources: dict[str, Value] = {}
    for name, value in without(said, stopped).items():
        try:
            # Nothing is agreed as well as something is.
            values[name] = None if value is None else entity.fields[name].translate(value, other(side))
            sources[name] = value
        except PermanentError as error:
            blocked.append(Blocked(name, side, digest(value), error))
    values[entity.key.name] = sources[entity.key.name] = source.key
    return _Newborn(side, values, sources, blocked, known)
