"""One short text for all that a side holds of a record, so that a million records are compared without parsing them.

The same values give the same hash in every process and version; different values give different ones but for one
chance in 2^64. The business key is among the values, under its field's name.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b

from shared.domain.model import Value


def row_hash(values: Mapping[str, Value]) -> str:
    """Hash a record's normal forms.

    Returns:
        16 hexadecimal digits, the same for the same names and values in any order; "" for no values at all.

    Example: `row_hash({"nombre": "Pump", "valor_libros": None})`.
    """
    names = sorted(values)
    return hashed([f"{len(name)}:{name}" for name in names], [values[name] for name in names]) if names else ""


def hashed(names: Sequence[str], values: Sequence[Value]) -> str:
    """Hash values whose names, in the form `6:nombre`, are sorted already."""
    # A length before each text: no two different records give the same bytes. None is unlike every text.
    parts = [
        f"{name}-" if value is None else f"{name}{len(value)}={value}"
        for name, value in zip(names, values, strict=True)
    ]
    return blake2b("".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
