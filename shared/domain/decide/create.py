"""A record that one side lacks is made there, with everything that the other side knows of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.domain.blocked import Blocked, digest
from shared.domain.decide.delete import is_inactive
from shared.domain.decide.plan import Plan, nothing
from shared.domain.decide.refused import known_refusals, value_digest
from shared.domain.decide.situation import Context, Snapshot
from shared.domain.link import Seen, Write
from shared.domain.model import Record, Side, Value, other
from shared.domain.schema.fields import FieldMapping
from shared.errors import PermanentError


def create_in_dynamics(snapshot: Snapshot, context: Context) -> Plan:
    """What the CMMS says, translated; what cannot be translated is parked, and the rest is created.

    Returns:
        A plan whose write has the id of the row to make again, or of a create in doubt; else the announcement chooses.
    """
    entity, link, cmms = context.entity, snapshot.link, snapshot.cmms
    if "dynamics" not in entity.create_in:
        return nothing(snapshot)
    born = _Newborn("cmms", cmms, context, snapshot)
    state = entity.active.state if entity.active is not None else 0
    later = False
    for rule in entity.fields.values():
        if rule.state_column is None:
            born.copy(rule)
            continue
        value = born.translated(rule)
        if value is not None and rule.state_of(value) == state:
            born.take(rule, value)
            continue
        # A row is born active: any other state takes a second write. Whatever the CMMS says of the state is then news.
        later |= value is not None
        if entity.active is not None:
            born.values[rule.name], born.sources[rule.name] = str(entity.active.status), None
    born.values[entity.key.name] = born.sources[entity.key.name] = cmms.key
    write = Write(side="dynamics", target=link.row_id, etag=None, values=born.values, sources=born.sources)
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
        to_dynamics=write,
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
    born = _Newborn("dynamics", row, context, snapshot)
    for rule in entity.fields.values():
        born.copy(rule)
    born.values[entity.key.name] = born.sources[entity.key.name] = row.key
    write = Write(side="cmms", target=None, etag=None, values=born.values, sources=born.sources, operation=row.id)
    return Plan(
        snapshot.stored,
        link.model_copy(update={"row_id": row.id, "key": row.key, "seen": link.seen.after(row)}),
        to_cmms=write,
        blocked=tuple(born.blocked),
        decided=True,
        still_parked=born.known,
    )


@dataclass
class _Newborn:
    """The values of a record to be made, field by field."""

    side: Side
    source: Record
    context: Context
    snapshot: Snapshot
    values: dict[str, Value] = field(default_factory=dict)
    sources: dict[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        held: Mapping[str, Value] = self.source.values
        rules, link = self.context.entity.fields, self.snapshot.link
        names = held.keys() & rules.keys() if link.parked or self.context.refused else ()
        digests = {(name, value_digest(self.context.entity, name, held[name])) for name in names}
        self.known = known_refusals(link, self.context, digests)
        self.blocked = [Blocked(name, self.side, bad.digest, bad.error) for name, bad in self.source.errors.items()]
        # Of what was refused just now, the values that the source has not replaced since.
        self.blocked += [one for one in self.context.refused if one.side == self.side and one.mark in digests]
        self._stopped = self.known | {block.field for block in self.blocked}

    def translated(self, rule: FieldMapping) -> Value:
        """The value for the other side; None where nothing is said, or where it is blocked."""
        value = self.source.values.get(rule.name)
        if value is None or rule.name in self._stopped:
            return None
        try:
            return rule.translate(value, other(self.side))
        except PermanentError as error:
            self.blocked.append(Blocked(rule.name, self.side, digest(value), error))
            self._stopped |= {rule.name}
            return None

    def take(self, rule: FieldMapping, value: Value) -> None:
        """Create with this value."""
        self.values[rule.name], self.sources[rule.name] = value, self.source.values[rule.name]

    def copy(self, rule: FieldMapping) -> None:
        """Create with what the source says of the field."""
        value = self.translated(rule)
        if value is not None:
            self.take(rule, value)
        elif rule.name in self.source.values and rule.name not in self._stopped:
            # Nothing is agreed as well as something is.
            self.sources[rule.name] = None
