"""One number for all that a side holds of a record, so that a million records are compared without a million objects.

A sketch is the hash of a record's normal forms in the mapping's order. The same values give the same sketch, within one
process; different values give different ones but for one chance in 2^64. What a rule refuses, or what is not said, has
no sketch (None): such a record is always looked at closely. Text that looks normal is taken as it is: were it not, it
could not equal what the ledger remembers, and the record would be looked at closely as well.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final, override

from shared.domain.fields import FieldMapping
from shared.domain.mapping import EntityMapping
from shared.domain.model import Value
from shared.errors import MappingError

type Sketch = int | None

_LENGTHS: Final = {"date": 10, "datetime": 20}


class Number(str):
    """A JSON number with a point, as it was written: cheaper to make than a Decimal, and as exact."""

    __slots__ = ()

    @override
    def __hash__(self) -> int:
        # A number where text belongs is no text, whatever its digits.
        return ~super().__hash__()

    __eq__ = str.__eq__


class Sketcher:
    """Sketches the records of one entity. Rows are JSON parsed with `parse_float=Number`."""

    def __init__(self, entity: EntityMapping) -> None:
        rules = list(entity.fields.values())
        self._bases = _getter([rule.name for rule in rules])
        self.cmms = _sketch(
            rules,
            [rule.name for rule in rules],
            lambda rule, row: rule.from_cmms(_exact(_said(rule, row))),
        )
        """Sketch a CMMS record's fields."""
        self.dynamics = _sketch(
            rules,
            [rule.column for rule in rules],
            lambda rule, row: rule.from_dynamics({rule.column: _exact(row.get(rule.column))}),
            options=True,
        )
        """Sketch a Dynamics row's mapped columns."""

    def bases(self, bases: Mapping[str, Mapping[str, Value]]) -> tuple[Sketch, Sketch]:
        """Sketch what the ledger remembers of either side, the CMMS first."""
        try:
            both = self._bases(bases)
        except KeyError:
            return None, None
        return hash(tuple([base["cmms"] for base in both])), hash(tuple([base["dynamics"] for base in both]))


def _sketch(
    rules: list[FieldMapping],
    names: list[str],
    exactly: Callable[[FieldMapping, Mapping[str, Any]], Value],
    *,
    options: bool = False,
) -> Callable[[Mapping[str, Any]], Sketch]:
    get = _getter(names)
    decimals = [place for place, rule in enumerate(rules) if rule.type == "decimal"]
    lengths = [(place, _LENGTHS[rule.type]) for place, rule in enumerate(rules) if rule.type in _LENGTHS]
    choices = [place for place, rule in enumerate(rules) if rule.type == "choice"] if options else []

    def slowly(row: Mapping[str, Any]) -> Sketch:
        try:
            return hash(tuple([exactly(rule, row) for rule in rules]))
        except (MappingError, KeyError):
            return None

    def quickly(row: Mapping[str, Any]) -> Sketch:
        try:
            values = list(get(row))
            for place in decimals:
                value = values[place]
                if value is not None:
                    values[place] = _plain(value)
            for place in choices:
                values[place] = None if values[place] is None else str(values[place])
            for place, length in lengths:
                value = values[place]
                if value is not None and len(value) != length:
                    return slowly(row)
            # Not hashable, or something else than the usual: a closer look decides.
            return slowly(row) if "" in values else hash(tuple(values))
        except (KeyError, TypeError, AttributeError):
            return slowly(row)

    return quickly


def _plain(value: str) -> str:
    """A decimal of plain digits in its normal form; "" for any other, which calls for a closer look."""
    if not "1" <= value[:1] <= "9" or "e" in value or "E" in value:
        return ""
    return value.rstrip("0").rstrip(".") if "." in value else str(value)


def _getter(names: list[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    get = itemgetter(*names)
    return get if len(names) > 1 else lambda row: (get(row),)


def _said(rule: FieldMapping, fields: Mapping[str, Any]) -> Any:
    return fields[next((name for name in (rule.name, *rule.aliases) if name in fields), rule.name)]


def _exact(value: Any) -> Any:
    return Decimal(value) if type(value) is Number else value
