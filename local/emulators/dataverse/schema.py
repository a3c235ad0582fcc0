"""The declarative description of tables: columns, choices, alternate keys.

It is data that may change while the emulator runs: a column or a key can be added to a living table.
Terms: https://learn.microsoft.com/power-apps/developer/data-platform/entity-attribute-metadata
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum


class ColumnType(StrEnum):
    """Column types, named as `AttributeType` in the metadata; DATE is a DateTime of behaviour DateOnly."""

    STRING = "String"
    MEMO = "Memo"
    MONEY = "Money"
    DECIMAL = "Decimal"
    INTEGER = "Integer"
    BIGINT = "BigInt"
    BOOLEAN = "Boolean"
    DATE = "DateOnly"
    DATETIME = "DateTime"
    PICKLIST = "Picklist"
    STATE = "State"
    STATUS = "Status"
    LOOKUP = "Lookup"
    UNIQUEIDENTIFIER = "Uniqueidentifier"


class Write(StrEnum):
    """What a client's value meets: stored, silently ignored (as the service does), or refused."""

    ALLOWED = "allowed"
    IGNORED = "ignored"
    REFUSED = "refused"


class Required(StrEnum):
    """Requirement levels; only SYSTEM is enforced on the API, APPLICATION is a matter of forms."""

    NONE = "None"
    RECOMMENDED = "Recommended"
    APPLICATION = "ApplicationRequired"
    SYSTEM = "SystemRequired"


@dataclass(frozen=True, slots=True)
class Option:
    """One value of a choice; for a status also its state and whether it is that state's default."""

    value: int
    label: str
    state: int | None = None
    default: bool = False


@dataclass(slots=True)
class Column:
    """A column; lengths in UTF-16 units, precision in decimal places.

    `precision`, `low` and `high` count for numbers, `options` for choices, `targets` for lookups (table to
    navigation property). `permissions` is None for a column that everybody may use; for a secured one it says, by
    application id, which of `read`, `update` and `create` a user may do with it.
    """

    name: str
    type: ColumnType
    label: str = ""
    max_length: int = 100
    precision: int = 2
    low: Decimal | None = None
    high: Decimal | None = None
    options: tuple[Option, ...] = ()
    targets: dict[str, str] = field(default_factory=dict)
    required: Required = Required.NONE
    on_create: Write = Write.ALLOWED
    on_update: Write = Write.ALLOWED
    readable: bool = True
    description: str = ""
    permissions: dict[str, frozenset[str]] | None = None

    @property
    def wire_name(self) -> str:
        """The property name in JSON, `$select` and `$filter`: lookups read as `_name_value`."""
        return f"_{self.name}_value" if self.type is ColumnType.LOOKUP else self.name

    def allows(self, application_id: str, use: str) -> bool:
        """Tell whether a user may `read`, `update` or `create` the column's values."""
        return self.permissions is None or use in self.permissions.get(application_id, frozenset())

    def option(self, value: int) -> Option | None:
        """Find a choice by its value."""
        return next((one for one in self.options if one.value == value), None)


class KeyStatus(StrEnum):
    """`EntityKeyIndexStatus`: only an active key is unique and usable in a URL."""

    PENDING = "Pending"
    IN_PROGRESS = "InProgress"
    ACTIVE = "Active"
    FAILED = "Failed"


@dataclass(slots=True)
class AlternateKey:
    """A unique combination of columns; a row with an empty part takes no place in it."""

    name: str
    columns: tuple[str, ...]
    status: KeyStatus = KeyStatus.ACTIVE
    label: str = ""


@dataclass(slots=True)
class Table:
    """A table with its columns and keys.

    `closed_read_only`: outside state 0 nothing but the state can be edited. `state_on_create`: a new row
    may be born in another state; where it may not, the state is ignored and the status must belong to state
    0.
    """

    name: str
    set_name: str
    primary_id: str
    primary_name: str
    columns: dict[str, Column]
    keys: dict[str, AlternateKey] = field(default_factory=dict)
    label: str = ""
    type_code: int = 10000
    closed_read_only: bool = False
    state_on_create: bool = False
    bulk_messages: bool = True
    change_tracking: bool = True
    optimistic_concurrency: bool = True

    def by_wire_name(self, wire_name: str) -> Column | None:
        """Find a column by the name that clients read it under."""
        column = self.columns.get(wire_name)
        if column is not None and column.wire_name == wire_name:
            return column
        stripped = wire_name.removeprefix("_").removesuffix("_value")
        column = self.columns.get(stripped)
        return column if column is not None and column.wire_name == wire_name else None

    def by_navigation(self, navigation: str) -> tuple[Column, str] | None:
        """Find the lookup column, and the target table, of a navigation property (`customerid_account`)."""
        for column in self.columns.values():
            for target, name in column.targets.items():
                if name == navigation:
                    return column, target
        return None

    def hidden_from(self, application_id: str) -> frozenset[str]:
        """Name the secured columns that a user may not read: the user sees null there."""
        return frozenset(one.name for one in self.columns.values() if not one.allows(application_id, "read"))

    def active_keys(self) -> Iterator[AlternateKey]:
        """Iterate over the keys that are enforced."""
        return (key for key in self.keys.values() if key.status is KeyStatus.ACTIVE)


def columns(*definitions: Column) -> dict[str, Column]:
    """Index column definitions by name."""
    return {one.name: one for one in definitions}
