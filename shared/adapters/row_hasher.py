"""Hash the records of a full list column by column: a column that looks normal is taken as it is."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from shared.domain.model import Value
from shared.domain.row_hash import row_hashes
from shared.domain.schema.fields import FieldMapping
from shared.domain.schema.mapping import EntityMapping
from shared.errors import MappingError

UNUSABLE: Final = "?"
"""The hash of a record whose values only its rules can judge, or refuse: it equals no other one."""

type Row = Mapping[str, Any]
type Quick = Callable[[Sequence[Any]], list[Value]]
"""Gives the normal forms of a page's values of one field; a TypeError or ValueError leaves them to the field's rule."""

# Numbers in the usual form, a line each: one search for a column costs a fifth of one for each of its values.
_PLAIN: Final = re.compile(r"(?:(?:0|[1-9][0-9]{0,17}+)(?:\.[0-9]{1,19}+)?+\n)*+")
_LENGTHS: Final = {"date": 10, "datetime": 20}
_NONE: Final = type(None)


class Number(str):
    """A JSON number with a point, as it was written: cheaper to make than a Decimal, and as exact."""

    __slots__ = ()


class RowHasher:
    """Hashes the records of one entity as a full list gives them: JSON parsed with `parse_float=Number`.

    Nearly every page is normal in all of its columns, and is judged a column at a time. Where a column is not, its
    values are judged one by one, the unusual ones by the field's rule. A record that a rule refuses, or that leaves a
    field out, is `UNUSABLE`: it is looked at closely.
    """

    def __init__(self, entity: EntityMapping) -> None:
        self._rules = [entity.rules[name] for name in sorted(entity.rules)]

    def cmms(self, rows: Sequence[Row]) -> list[str]:
        """Hash CMMS records' fields, as their `campos` give them."""
        first = rows[0] if rows else {}
        columns = []
        for rule in self._rules:
            name = next((name for name in (rule.name, *rule.aliases) if name in first), rule.name)
            codes = {code: code for code in rule.to_dynamics_choices}
            columns.append(_Column(rule, name, _quick(rule, codes), rule.from_cmms))
        return _hashes(columns, rows)

    def dynamics(self, rows: Sequence[Row]) -> list[str]:
        """Hash Dynamics rows' mapped columns."""
        columns = []
        for rule in self._rules:
            name = rule.read_column
            codes = {option: str(option) for option in rule.to_cmms_choices}
            columns.append(_Column(rule, name, _quick(rule, codes), _of_column(rule, name)))
        return _hashes(columns, rows)


@dataclass(frozen=True)
class _Column:
    """One field of a page. `exactly` is what its rule makes of a single value."""

    rule: FieldMapping
    name: str
    quick: Quick
    exactly: Callable[[Any], Value]

    def read(self, rows: Sequence[Row]) -> tuple[list[Value], Sequence[int]]:
        """The normal forms of the column, and which of the rows the rule refuses."""
        name = self.name
        try:
            return self.quick([row[name] for row in rows]), ()
        except (KeyError, TypeError, ValueError):
            pass
        values: list[Value] = []
        refused: list[int] = []
        for number, row in enumerate(rows):
            try:
                values.append(self._one(row[name]))
            except (MappingError, KeyError):
                values.append(None)
                refused.append(number)
        return values, refused

    def _one(self, value: Any) -> Value:
        try:
            return self.quick((value,))[0]
        except (TypeError, ValueError):
            return self.exactly(Decimal(value) if type(value) is Number else value)


def _hashes(columns: Sequence[_Column], rows: Sequence[Row]) -> list[str]:
    read = [column.read(rows) for column in columns]
    fields = [(column.rule.name, column.rule.fingerprint) for column in columns]
    hashes = row_hashes(fields, [values for values, _ in read])
    for number in {number for _, refused in read for number in refused}:
        hashes[number] = UNUSABLE
    return hashes


def _of_column(rule: FieldMapping, name: str) -> Callable[[Any], Value]:
    return lambda value: rule.from_dynamics({name: value})


def _quick(rule: FieldMapping, codes: Mapping[Any, str]) -> Quick:
    return _QUICK.get(rule.type) or _options(codes)


def _require(values: Sequence[Any], *kinds: type) -> None:
    """Let only these types pass, and none that derives from one of them: `True` is no number here."""
    if not frozenset(kinds).issuperset(map(type, values)):
        raise TypeError


def _texts(values: Sequence[Any]) -> list[Value]:
    _require(values, str, _NONE)
    return [value or None for value in values]


def _decimals(values: Sequence[Any]) -> list[Value]:
    _require(values, str, Number, int, _NONE)
    texts = [None if value is None else str(value) for value in values]
    said = [text for text in texts if text is not None]
    lines = "\n".join([*said, ""])
    if lines.count("\n") != len(said) or not _PLAIN.fullmatch(lines):
        raise ValueError
    return [text.rstrip("0").rstrip(".") if text is not None and "." in text else text for text in texts]


def _options(codes: Mapping[Any, str]) -> Quick:
    kinds = {_NONE, *map(type, codes)}

    def quick(values: Sequence[Any]) -> list[Value]:
        _require(values, *kinds)
        if not codes.keys() >= set(values) - {None}:
            raise ValueError
        return [codes.get(value) for value in values]

    return quick


def _booleans(values: Sequence[Any]) -> list[Value]:
    _require(values, bool, _NONE)
    return [None if value is None else str(value).lower() for value in values]


def _integers(values: Sequence[Any]) -> list[Value]:
    _require(values, int, _NONE)
    return [None if value is None else str(value) for value in values]


def _instants(length: int) -> Quick:
    def quick(values: Sequence[Any]) -> list[Value]:
        _require(values, str, _NONE)
        if not {length}.issuperset(map(len, [value for value in values if value is not None])):
            raise ValueError
        return list(values)

    return quick


_QUICK: Final[Mapping[str, Quick]] = {
    "string": _texts,
    "decimal": _decimals,
    "lookup": _texts,
    "boolean": _booleans,
    "integer": _integers,
    **{kind: _instants(length) for kind, length in _LENGTHS.items()},
}
