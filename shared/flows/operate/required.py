"""What must be set up in Dynamics for the mapping: columns, key, steps. Pure, no I/O."""

from dataclasses import dataclass
from typing import Final, Literal

from shared.domain.schema.fields import FieldMapping
from shared.domain.schema.mapping import STAMP_LENGTH, STATE, EntityMapping

ENDPOINT: Final = "Energy CMMS sync"
"""The name of the webhook's service endpoint."""

MESSAGES: Final = ("Create", "Update", "Delete")
"""The events of a row: an upsert raises one of them."""

_KINDS: Final = {
    "string": "String",
    "decimal": "Decimal",
    "date": "DateOnly",
    "datetime": "DateTime",
    "boolean": "Boolean",
    "integer": "Integer",
}
# What a type may be stored in, by AttributeType.
ACCEPTED: Final[dict[str, frozenset[str]]] = {
    "string": frozenset({"String", "Memo"}),
    "decimal": frozenset({"Money", "Decimal", "Double", "Integer", "BigInt"}),
    "date": frozenset({"DateTime"}),
    "datetime": frozenset({"DateTime"}),
    "choice": frozenset({"Picklist", "State", "Status"}),
    "boolean": frozenset({"Boolean"}),
    "integer": frozenset({"Integer", "BigInt"}),
    "lookup": frozenset({"Lookup", "Customer", "Owner"}),
}


type Use = Literal["read", "update", "create"]


@dataclass(frozen=True)
class NewColumn:
    """A column that can be created: `kind` String, Decimal, DateTime, DateOnly, Boolean or Integer."""

    name: str
    kind: str
    length: int | None
    scale: int | None
    label: str


def mapped_columns(entity: EntityMapping) -> frozenset[str]:
    """Every column that the mapping reads or writes, constants and the operation stamp included."""
    columns = {entity.id, entity.key.column, STATE, "statuscode", *entity.constants}
    columns.update(name for name in (entity.stamp, entity.currency) if name is not None)
    for rule in entity.fields.values():
        columns.update(rule.attributes())
    return frozenset(column for column in columns if "@" not in column)


def uses(entity: EntityMapping) -> dict[str, tuple[Use, ...]]:
    """What our user does with each mapped column, so that it needs the permission where the column is secured."""
    everything: tuple[Use, ...] = ("read", "update", "create")
    found: dict[str, tuple[Use, ...]] = dict.fromkeys(entity.constants, ("create",))
    found[entity.key.column] = everything
    if entity.stamp is not None:
        found[entity.stamp] = everything
    for rule in entity.fields.values():
        found |= dict.fromkeys(map(attribute_of, rule.read_columns()), ("read",))
        if rule.direction != "to_cmms":
            written = (rule.write_column or rule.column, rule.state_column)
            own: tuple[Use, ...] = ("create",) if rule.create_only else ("update", "create")
            found |= {column: (*found.get(column, ()), *own) for column in written if column is not None}
    return found


def attribute_of(column: str) -> str:
    """The column's name in definitions: a lookup is read as `_msdyn_account_value`, and defined as `msdyn_account`."""
    if column.startswith("_") and column.endswith("_value"):
        return column.removeprefix("_").removesuffix("_value")
    return column


def watched_columns(entity: EntityMapping) -> frozenset[str]:
    """The columns whose update must call us: what is read, but for the stamp and those that only creation sets."""
    columns = {entity.key.column, STATE, *([entity.currency] if entity.currency is not None else [])}
    for rule in entity.fields.values():
        if not rule.create_only:
            columns.update(map(attribute_of, rule.read_columns()))
    return frozenset(columns)


def new_column(entity: EntityMapping, name: str) -> NewColumn | None:
    """How to create a missing column, or None where only a person can: choices, lookups, columns of the platform."""
    if "_" not in name:
        return None
    if name == entity.key.column:
        return NewColumn(name, "String", entity.key.length, None, entity.key.name)
    if name == entity.stamp:
        return NewColumn(name, "String", STAMP_LENGTH, None, "Energy CMMS operation")
    rule = rule_of(entity, name)
    if rule is None or rule.type not in _KINDS:
        return None
    return NewColumn(name, _KINDS[rule.type], rule.length, rule.scale, rule.name)


def rule_of(entity: EntityMapping, column: str) -> FieldMapping | None:
    """The field that a column belongs to."""
    return next((rule for rule in entity.fields.values() if column in rule.attributes()), None)
