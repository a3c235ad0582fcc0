"""One short text for all that a side holds of a record, so that a million records are compared without parsing them.

The same values give the same hash in every process and version; different values give different ones but for one
chance in 2^64. The business key is among the values, under its field's name.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Final

from shared.domain.model import Value

# Between two values, and in place of None; both are written otherwise where a value holds them, as is what says so.
_BETWEEN: Final = "\x1f"
_NONE: Final = "\x1e"
_ESCAPED: Final = {"\x1d": "\x1d0", _NONE: "\x1d1", _BETWEEN: "\x1d2"}
_ESCAPES: Final = str.maketrans(_ESCAPED)


def row_hash(values: Mapping[str, Value], rules: Mapping[str, str]) -> str:
    """Hash a record's normal forms, and the rules under which they are its normal forms.

    Args:
        values: By the fields' names.
        rules: The fingerprints of the fields' rules: a value under another rule is another value.

    Returns:
        16 hexadecimal digits, the same for the same names and values in any order; "" for no values at all.

    Example: `row_hash({"nombre": "Pump", "valor_libros": None}, {"nombre": "5f0e1c", "valor_libros": "a41d07"})`.
    """
    names = sorted(values)
    if not names:
        return ""
    hasher = _hasher(tuple((name, rules[name]) for name in names))
    return hasher(_together(_texts([values[name] for name in names]))).hexdigest()


def row_hashes(fields: Sequence[tuple[str, str]], columns: Iterable[Sequence[Value]]) -> list[str]:
    """Hash some records that have the same fields.

    Args:
        fields: Each field's name and its rule's fingerprint, in the order of the names.
        columns: For each of the fields, the records' normal forms.

    Returns:
        For each record what `row_hash` makes of it.

    Example: `row_hashes([("nombre", "5f0e1c"), ("valor_libros", "a41d07")], [["Pump", "Fan"], [None, "12.5"]])`.
    """
    hasher = _hasher(tuple(fields))
    rows = zip(*map(_texts, columns), strict=True)
    return [hasher(_together(texts)).hexdigest() for texts in rows]


@lru_cache
def _hasher(fields: tuple[tuple[str, str], ...]) -> partial[blake2b]:
    """The hash of records that have these fields: all records of an entity mostly have the same."""
    # The fields' names tell the hashes of all records apart ("personalization" in RFC 7693).
    names = blake2b(_together(text for field in fields for text in _texts(field)), digest_size=16)
    return partial(blake2b, digest_size=8, person=names.digest())


def _texts(values: Sequence[Value]) -> list[str]:
    """One text for each value, such that no two different records give the same texts with `_BETWEEN` between them."""
    said = "".join(filter(None, values))
    if any(mark in said for mark in _ESCAPED):
        values = [value if value is None else value.translate(_ESCAPES) for value in values]
    return [_NONE if value is None else value for value in values]


def _together(texts: Iterable[str]) -> bytes:
    return _BETWEEN.join(texts).encode("utf-8", "surrogatepass")
