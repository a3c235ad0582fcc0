"""One number for all that a side holds of a record, so that a million records are compared without a million objects.

A sketch is the hash of a record's normal forms in the mapping's order. The same values give the same sketch, within one
process; different values give different ones but for one chance in 2^64. What a rule refuses, or what is not said, has
no sketch (None): such a record is always looked at closely. Text that looks normal is taken as it is: were it not, it
could not equal what the ledger remembers, and the record would be looked at closely as well.
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from shared.domain.fields import FieldMapping
from shared.domain.mapping import EntityMapping
from shared.domain.model import Value
from shared.errors import MappingError

type Sketch = int | None

_PLAIN: Final = re.compile(r"(-?[1-9][0-9]{0,20}|0)(?:\.([0-9]*?)0*)?\Z")
_DATE_LENGTH: Final = 10
_INSTANT_LENGTH: Final = 20
_UNSAID: Final = object()


class Number(str):
    """A JSON number with a point, as it was written: cheaper to make than a Decimal, and as exact."""

    __slots__ = ()


class Sketcher:
    """Sketches the records of one entity. Rows are JSON parsed with `parse_float=Number`."""

    def __init__(self, entity: EntityMapping) -> None:
        rules = list(entity.fields.values())
        self._names = [rule.name for rule in rules]
        self._cmms = [(rule.name, rule.aliases, _reader(rule, rule.from_cmms)) for rule in rules]
        self._dynamics = [(rule.column, _reader(rule, _of_column(rule), options=True)) for rule in rules]

    def cmms(self, fields: Mapping[str, Any]) -> Sketch:
        """Sketch a CMMS record's fields."""
        try:
            return hash(tuple([read(_said(fields, name, aliases)) for name, aliases, read in self._cmms]))
        except (MappingError, KeyError):
            return None

    def dynamics(self, row: Mapping[str, Any]) -> Sketch:
        """Sketch a Dynamics row's mapped columns."""
        get = row.get
        try:
            return hash(tuple([read(get(column)) for column, read in self._dynamics]))
        except MappingError:
            return None

    def bases(self, bases: Mapping[str, Mapping[str, Value]]) -> tuple[Sketch, Sketch]:
        """Sketch what the ledger remembers of either side, the CMMS first."""
        try:
            both = [bases[name] for name in self._names]
        except KeyError:
            return None, None
        return hash(tuple([base["cmms"] for base in both])), hash(tuple([base["dynamics"] for base in both]))


def _said(fields: Mapping[str, Any], name: str, aliases: tuple[str, ...]) -> Any:
    value = fields.get(name, _UNSAID)
    if value is not _UNSAID:
        return value
    return fields[next((alias for alias in aliases if alias in fields), name)]


def _of_column(rule: FieldMapping) -> Callable[[object], Value]:
    return lambda value: rule.from_dynamics({rule.column: value})


def _reader(  # noqa: C901  # five small readers over one slow path
    rule: FieldMapping, exactly: Callable[[object], Value], *, options: bool = False
) -> Callable[[Any], Value]:
    def slowly(value: object) -> Value:
        return exactly(Decimal(value) if type(value) is Number else value)

    def text(value: Any) -> Value:
        if value is None:
            return None
        return (value or None) if type(value) is str else slowly(value)

    def decimal(value: Any) -> Value:
        if value is None:
            return None
        kind = type(value)
        if kind is int:
            return str(value)
        found = _PLAIN.match(value) if kind is Number or kind is str else None
        if found is None:
            return slowly(value)
        whole, fraction = found.groups()
        return f"{whole}.{fraction}" if fraction else str(whole)

    def day(value: Any) -> Value:
        return value if type(value) is str and len(value) == _DATE_LENGTH else slowly(value)

    def instant(value: Any) -> Value:
        if type(value) is str and len(value) == _INSTANT_LENGTH and value[-1] == "Z":
            return value
        return slowly(value)

    def option(value: Any) -> Value:
        return str(value) if type(value) is int else slowly(value)

    choice = option if options else text
    return {"string": text, "decimal": decimal, "date": day, "datetime": instant, "choice": choice}[rule.type]
