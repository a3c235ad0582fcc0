"""What the two sides hold, in one normal form.

A `Value` is the text of a field in its normal form, or None for "no value". Comparison is comparison of text,
so that formatting is never drift, decimals never pass through float and dates never pass through a time zone:

| type     | normal form                                                                    |
|----------|--------------------------------------------------------------------------------|
| string   | the text itself; "" is None                                                    |
| decimal  | plain digits, no trailing zeros: `1234.5`                                      |
| date     | `YYYY-MM-DD`                                                                   |
| datetime | `YYYY-MM-DDTHH:MM:SSZ`, whole seconds, as Dataverse stores them                |
| choice   | the CMMS's code (`PENDIENTE`) on its side, the option's number (`2`) in Dynamics |
| boolean  | `true` or `false`                                                              |
| integer  | plain digits: `-42`                                                            |
| lookup   | the code by which the CMMS knows the other record: `ACC-7`, on both sides        |

Records, and whatever else is made anew for each message, are msgspec's `Struct`s: a frozen dataclass takes ten times as
long to make or to replace.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, NamedTuple, override

import msgspec

from shared.errors import MappingError

type Value = str | None
type Values = Mapping[str, Value]
type Side = Literal["cmms", "dynamics"]

SIDES: Final[tuple[Side, ...]] = ("cmms", "dynamics")


class Version(NamedTuple):
    """A CMMS record's version: the instant of its change, then the outbox's sequence."""

    at: datetime
    sequence: int = 0


class Change(NamedTuple):
    """The last change of a row or record: its number, and when it was, in UTC; None where the side does not say.

    Numbers rise, until a backup is restored: a row's version, or a record's revision.
    """

    number: int | None
    at: datetime | None

    def is_undone(self, shown: "Change") -> bool:
        """Whether a change of before is shown, or another one with the same number: counted on from a backup."""
        recounted = None not in (*self, *shown) and shown.number == self.number and shown.at != self.at
        return recounted or is_before(shown.number, self.number)


@dataclass(frozen=True)
class BadValue:
    """A value that its field's rule refuses, and a digest by which to know it again.

    `shown` is the value as it was read, for an operator who asks for this record: it goes into no log and no message.
    """

    error: MappingError
    digest: str
    shown: str = field(default="", repr=False)


class Record(msgspec.Struct, frozen=True):
    """One side's record as read: values by the CMMS's field names.

    A field in neither `values` nor `errors` is not said; one in `errors` holds what its rule refuses, and is in
    `values` as well only where an older value of it still counts (one-way mode).

    `id` never changes and is never given to another record. `operations` are the ids of the last writes of ours that
    the side shows, oldest first; None where the side does not show its writes. `by_us` tells whether the newest of
    them was the last change of the record. `exists` is False for a record that the side does not have. `is_open` is
    False for one whose state refuses edits of everything but the state; only a Dynamics row has such states.
    """

    key: str
    etag: str
    values: Values
    errors: Mapping[str, BadValue] = msgspec.field(default_factory=dict)
    id: str = ""
    operations: tuple[str, ...] | None = None
    by_us: bool = False
    exists: bool = True
    is_open: bool = True

    @property
    def living(self) -> bool:
        """Whether the side has the record, and has not deleted it."""
        return self.exists

    @property
    def last_operation(self) -> str | None:
        """The newest write of ours that the record shows."""
        return self.operations[-1] if self.operations else None

    @property
    def untouched_since(self) -> str | None:
        """The newest write of ours, where it was the record's last change; None where somebody has changed it since."""
        return self.last_operation if self.by_us else None

    def shows(self, operation: str) -> bool:
        """Whether a write of ours is among the last ones that the record shows."""
        return operation in (self.operations or ())

    def content(self, key: str) -> Values:
        """The values with the business key among them, under its field's name."""
        return {key: self.key or None, **self.values}

    def held(self, key: str, name: str, otherwise: Value = None) -> Value:
        """What the side holds of a field, or `otherwise`.

        Args:
            key: The name of the business key's field.
            name: The field's name.
            otherwise: Stands for a field that the record does not say.
        """
        return self.content(key).get(name, otherwise)


class CmmsRecord(Record, frozen=True):
    """A CMMS record; a deleted one is a tombstone without values.

    `revision` counts the record's changes: it only rises, until a backup is restored. None: not said.
    """

    version: Version | None = None
    revision: int | None = None
    deleted: bool = False

    @property
    @override
    def living(self) -> bool:
        return self.exists and not self.deleted

    def was_made_from(self, row_id: str) -> bool:
        """Whether a create of ours made the record for this row: it has the row's id for an operation."""
        return self.shows(row_id)

    @property
    def last_change(self) -> Change:
        """The record's last change; nothing is known of it where the record is absent or deleted: it has no state."""
        return Change(self.revision, self.changed_at) if self.living else Change(None, None)

    @property
    def changed_at(self) -> datetime | None:
        """The instant of the record's version; None where the CMMS gives none."""
        return self.version.at if self.version is not None else None


class DynamicsRecord(Record, frozen=True):
    """A Dynamics row.

    `version` is the number in the row's etag (`W/"12345"` has the version 12345): in one organization it only rises,
    until a backup is restored. None where the etag holds no number. The one operation that a row shows is what its
    operation stamp holds. `currency` is the id of the row's currency; None where the mapping does not name it.
    """

    state: int | None = None
    modified: datetime | None = None
    modified_by: str | None = None
    created: datetime | None = None
    version: int | None = None
    currency: str | None = None

    @property
    def last_change(self) -> Change:
        """The row's last change."""
        return Change(self.version, self.modified)


NO_RECORD: Final = CmmsRecord("", "", {}, exists=False)
"""What the CMMS shows of a record that it does not have."""
NO_ROW: Final = DynamicsRecord("", "", {}, exists=False)
"""What Dynamics shows of a row that it does not have."""


_OPPOSITE: Final[Mapping[Side, Side]] = {"cmms": "dynamics", "dynamics": "cmms"}


def other(side: Side) -> Side:
    """The opposite side."""
    return _OPPOSITE[side]


def without[V](values: Mapping[str, V], names: Container[str]) -> dict[str, V]:
    """What is there under all other names, in the same order."""
    return {name: value for name, value in values.items() if name not in names}


def is_until[V: (int, datetime, Version)](one: V | None, other: V | None) -> bool:
    """Whether a number, instant or version is another one, or before it; False where either is unknown."""
    return one is not None and other is not None and one <= other


def is_before[V: (int, datetime)](one: V | None, other: V | None) -> bool:
    """Whether a number or instant is before another one; False where either is unknown."""
    return is_until(one, other) and one != other
