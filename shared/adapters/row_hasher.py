"""Hash the records of a full list without judging them one by one: what looks normal is taken as it is."""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final, override

from shared.domain.model import Value
from shared.domain.row_hash import hashed, named
from shared.domain.schema.fields import FieldMapping
from shared.domain.schema.mapping import EntityMapping
from shared.errors import MappingError

UNUSABLE: Final = "?"
"""The hash of a record whose values only its rules can judge, or refuse: it equals no other one."""

type Row = Mapping[str, Any]

_PLAIN: Final = re.compile(r"(?:0|[1-9][0-9]{0,17}+)(?:\.[0-9]{1,19}+)?+")
_LENGTHS: Final = {"date": 10, "datetime": 20}


class Number(str):
    """A JSON number with a point, as it was written: cheaper to make than a Decimal, and as exact."""

    __slots__ = ()

    @override
    def __hash__(self) -> int:
        # A number where text belongs is no text, whatever its digits.
        return ~super().__hash__()

    __eq__ = str.__eq__


class RowHasher:
    """Hashes the records of one entity as a full list gives them: JSON parsed with `parse_float=Number`.

    What looks normal at once is taken as it is; everything else is judged by its field's rule. A record that a rule
    refuses, or that leaves a field out, is `UNUSABLE`: it is looked at closely.
    """

    def __init__(self, entity: EntityMapping) -> None:
        self._rules = [entity.rules[name] for name in sorted(entity.rules)]
        self._names = [named(rule.name, rule.fingerprint) for rule in self._rules]

    def cmms(self, rows: Sequence[Row]) -> list[str]:
        """Hash CMMS records' fields, as their `campos` give them."""
        first = rows[0] if rows else {}
        names = [
            next((name for name in (rule.name, *rule.aliases) if name in first), rule.name) for rule in self._rules
        ]
        codes = {rule.name: {code: code for code in rule.to_dynamics_choices} for rule in self._rules}
        return self._hashes(rows, names, codes, lambda rule, name, row: rule.from_cmms(_exact(row[name])))

    def dynamics(self, rows: Sequence[Row]) -> list[str]:
        """Hash Dynamics rows' mapped columns."""
        names = [rule.read_columns()[0] for rule in self._rules]
        codes = {rule.name: {option: str(option) for option in rule.to_cmms_choices} for rule in self._rules}
        return self._hashes(rows, names, codes, lambda rule, name, row: rule.from_dynamics({name: _exact(row[name])}))

    def _hashes(
        self,
        rows: Sequence[Row],
        names: Sequence[str],
        codes: Mapping[str, Mapping[Any, str]],
        exactly: Callable[[FieldMapping, str, Row], Value],
    ) -> list[str]:
        readers = [
            (rule, name, itemgetter(name), _QUICK.get(rule.type) or _option(codes[rule.name]))
            for rule, name in zip(self._rules, names, strict=True)
        ]

        def quickly(row: Row) -> str:
            return hashed(self._names, [quick(get(row)) for _, _, get, quick in readers])

        def slowly(row: Row) -> str:
            try:
                return hashed(self._names, [exactly(rule, name, row) for rule, name, _, _ in readers])
            except (MappingError, KeyError):
                return UNUSABLE

        def either(row: Row) -> str:
            try:
                return quickly(row)
            except (KeyError, TypeError, ValueError):
                return slowly(row)

        return list(map(either, rows))


def _text(value: Any) -> Value:
    if type(value) is str or value is None:
        return value or None
    raise TypeError


def _decimal(value: Any) -> Value:
    if value is None:
        return None
    text = str(value) if type(value) is int else value
    if not _PLAIN.fullmatch(text):
        raise ValueError
    return text.rstrip("0").rstrip(".") if "." in text else str(text)


def _option(codes: Mapping[Any, str]) -> Callable[[Any], Value]:
    def quick(value: Any) -> Value:
        # `True` would be found where the table has an option 1.
        if type(value) is bool:
            raise TypeError
        return codes[value]

    return quick


def _boolean(value: Any) -> Value:
    if value is None or type(value) is bool:
        return None if value is None else str(value).lower()
    raise TypeError


def _integer(value: Any) -> Value:
    if value is None or type(value) is int:
        return None if value is None else str(value)
    raise TypeError


def _instant(length: int) -> Callable[[Any], Value]:
    def quick(value: Any) -> Value:
        if value is None or (type(value) is str and len(value) == length):
            return value
        raise TypeError

    return quick


_QUICK: Final[Mapping[str, Callable[[Any], Value]]] = {
    "string": _text,
    "decimal": _decimal,
    "lookup": _text,
    "boolean": _boolean,
    "integer": _integer,
    **{kind: _instant(length) for kind, length in _LENGTHS.items()},
}


def _exact(value: Any) -> Any:
    return Decimal(value) if type(value) is Number else value
