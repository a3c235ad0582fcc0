"""What must be set up in Dynamics for the mapping: columns, key, steps. Pure, no I/O."""

from dataclasses import dataclass
from typing import Final

from shared.domain.schema.fields import FieldMapping
from shared.domain.schema.mapping import EntityMapping

ENDPOINT: Final = "Energy CMMS sync"
"""The name of the webhook's service endpoint."""

MESSAGES: Final = ("Create", "Update", "Delete")
"""The events of a row: an upsert raises one of them."""

_KINDS: Final = {"string": "String", "decimal": "Decimal", "date": "DateOnly", "datetime": "DateTime"}
# What a type may be stored in, by AttributeType.
ACCEPTED: Final[dict[str, frozenset[str]]] = {
    "string": frozenset({"String", "Memo"}),
    "decimal": frozenset({"Money", "Decimal", "Double", "Integer", "BigInt"}),
    "date": frozenset({"DateTime"}),
    "datetime": frozenset({"DateTime"}),
    "choice": frozenset({"Picklist", "State", "Status"}),
}


@dataclass(frozen=True)
class NewColumn:
    """A column that can be created: `kind` String, Decimal, DateTime or DateOnly."""

    name: str
    kind: str
    length: int | None
    scale: int | None
    label: str


def mapped_columns(entity: EntityMapping) -> frozenset[str]:
    """Every column that the mapping reads or writes, constants included."""
    columns = {entity.id, entity.key.column, *entity.constants}
    for rule in entity.fields.values():
        columns.update(rule.columns())
    if entity.open_states is not None or entity.inactive is not None:
        columns.update(("statecode", "statuscode"))
    return frozenset(column for column in columns if "@" not in column)


def watched_columns(entity: EntityMapping) -> frozenset[str]:
    """The columns whose update must call us: what is read, but for those that only creation sets."""
    columns = {entity.key.column}
    for rule in entity.fields.values():
        if not rule.create_only:
            columns.update(rule.read_columns())
    if entity.open_states is not None or entity.inactive is not None:
        columns.add("statecode")
    return frozenset(columns)


def new_column(entity: EntityMapping, name: str) -> NewColumn | None:
    """How to create a missing column, or None where only a person can: choices, and columns of the platform."""
    if "_" not in name:
        return None
    if name == entity.key.column:
        return NewColumn(name, "String", entity.key.length, None, entity.key.name)
    rule = rule_of(entity, name)
    if rule is None or rule.type == "choice":
        return None
    return NewColumn(name, _KINDS[rule.type], rule.length, rule.scale, rule.name)


def rule_of(entity: EntityMapping, column: str) -> FieldMapping | None:
    """The field that a column belongs to."""
    return next((rule for rule in entity.fields.values() if column in rule.columns()), None)
