"""One number for all that a side holds of a record, so that a million records are compared without a million objects.

A sketch is the hash of a record's normal forms in the mapping's order. The same values give the same sketch, within one
process; different values give different ones but for one chance in 2^64. What a rule refuses, or what is not said, has
no sketch (None): such a record is always looked at closely. Text that looks normal is taken as it is: were it not, it
could not equal what the ledger remembers, and the record would be looked at closely as well.

A page is sketched column by column, which is several times as fast as record by record.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final, override

from shared.domain.model import Value
from shared.domain.schema.fields import FieldMapping
from shared.domain.schema.mapping import EntityMapping
from shared.errors import MappingError

type Sketch = int | None
type Row = Mapping[str, Any]
type Bases = Mapping[str, Mapping[str, Value]]

_BOOLEANS: Final = {None: None, True: "true", False: "false"}
_LENGTHS: Final = {"date": 10, "datetime": 20}
_DIGITS: Final = r"(?:0|[1-9][0-9]{0,17}+)(?:\.[0-9]{1,19}+)?+"
_PLAIN: Final = re.compile(_DIGITS)
_ALL_PLAIN: Final = re.compile(rf"(?:{_DIGITS}\n)*+")
_ODD: Final = ""
"""Stands for a value that only its rule can judge: no normal form is empty."""
_CMMS: Final = itemgetter("cmms")
_DYNAMICS: Final = itemgetter("dynamics")


class Number(str):
    """A JSON number with a point, as it was written: cheaper to make than a Decimal, and as exact."""

    __slots__ = ()

    @override
    def __hash__(self) -> int:
        # A number where text belongs is no text, whatever its digits.
        return ~super().__hash__()

    __eq__ = str.__eq__


class Sketcher:
    """Sketches the records of one entity, a page at a time. Rows are JSON parsed with `parse_float=Number`."""

    def __init__(self, entity: EntityMapping) -> None:
        self._rules = list(entity.fields.values())
        self._bases = [itemgetter(rule.name) for rule in self._rules]

    def cmms(self, rows: Sequence[Row]) -> list[Sketch]:
        """Sketch CMMS records' fields."""
        first = rows[0] if rows else {}
        names = [_name(rule, first) for rule in self._rules]
        return self._sketch(rows, names, lambda rule, row: rule.from_cmms(_exact(row[_name(rule, row)])))

    def dynamics(self, rows: Sequence[Row]) -> list[Sketch]:
        """Sketch Dynamics rows' mapped columns."""
        columns = [rule.read_columns()[0] for rule in self._rules]
        return self._sketch(
            rows,
            columns,
            lambda rule, row: rule.from_dynamics({name: _exact(row.get(name)) for name in rule.read_columns()[:1]}),
            options=True,
        )

    def bases(self, bases: Sequence[Bases]) -> list[tuple[Sketch, Sketch]]:
        """Sketch what the ledger remembers of either side, the CMMS first."""

        def quickly(some: Sequence[Bases]) -> list[tuple[Sketch, Sketch]]:
            columns = [list(map(get, some)) for get in self._bases]
            cmms = map(hash, zip(*[map(_CMMS, column) for column in columns], strict=True))
            dynamics = map(hash, zip(*[map(_DYNAMICS, column) for column in columns], strict=True))
            return list(zip(cmms, dynamics, strict=True))

        return _in_bulk(bases, quickly, lambda _: (None, None))

    def _sketch(
        self,
        rows: Sequence[Row],
        names: list[str],
        exactly: Callable[[FieldMapping, Row], Value],
        *,
        options: bool = False,
    ) -> list[Sketch]:
        getters = list(map(itemgetter, names))

        def slowly(row: Row) -> Sketch:
            try:
                return hash(tuple([exactly(rule, row) for rule in self._rules]))
            except (MappingError, KeyError):
                return None

        def quickly(some: Sequence[Row]) -> list[Sketch]:
            columns = [
                _normal(rule, list(map(get, some)), options=options)
                for rule, get in zip(self._rules, getters, strict=True)
            ]
            sketches: list[Sketch] = list(map(hash, zip(*columns, strict=True)))
            for column in columns:
                if _ODD in column:
                    for place, value in enumerate(column):
                        if value == _ODD:
                            sketches[place] = slowly(some[place])
            return sketches

        return _in_bulk(rows, quickly, slowly)


def _in_bulk[R, S](rows: Sequence[R], quickly: Callable[[Sequence[R]], list[S]], slowly: Callable[[R], S]) -> list[S]:
    """Sketch all rows at once; where some spoil that, by halves, so that only these are done one by one."""
    try:
        return quickly(rows)
    except (KeyError, TypeError, AttributeError):
        if len(rows) == 1:
            return [slowly(rows[0])]
    half = len(rows) // 2
    return _in_bulk(rows[:half], quickly, slowly) + _in_bulk(rows[half:], quickly, slowly)


def _normal(rule: FieldMapping, column: list[Any], *, options: bool) -> list[Any]:
    """A column's values in their normal form so far as that is seen at once, else `_ODD`.

    Raises:
        TypeError: A value is of no usual type.
        AttributeError: Likewise.
    """
    match rule.type:
        case "decimal":
            return _decimals(column)
        case "date" | "datetime":
            length = _LENGTHS[rule.type]
            return [value if value is None or len(value) == length else _ODD for value in column]
        case "boolean":
            return [_BOOLEANS[value] if value is None or type(value) is bool else _ODD for value in column]
        case "integer":
            return [value if value is None else str(value) if type(value) is int else _ODD for value in column]
        case "choice" if options:
            return [None if value is None else str(value) for value in column]
    return [None if value == "" else value for value in column] if "" in column else column


def _decimals(column: list[Any]) -> list[str | None]:
    try:
        plain = _all_plain(column)
    except TypeError:
        column = [str(value) if type(value) is int else value for value in column]
        plain = _all_plain(column)
    if not plain:
        column = [value if value is None or _PLAIN.fullmatch(value) else _ODD for value in column]
    return [
        value if value is None else value.rstrip("0").rstrip(".") if "." in value else str(value) for value in column
    ]


def _all_plain(column: list[Any]) -> bool:
    texts = [value for value in column if value is not None]
    lines = "\n".join([*texts, ""])
    return _ALL_PLAIN.fullmatch(lines) is not None and lines.count("\n") == len(texts)


def _name(rule: FieldMapping, fields: Row) -> str:
    """The name by which a CMMS record gives a field."""
    return next((name for name in (rule.name, *rule.aliases) if name in fields), rule.name)


def _exact(value: Any) -> Any:
    return Decimal(value) if type(value) is Number else value
