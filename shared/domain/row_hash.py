"""One short text for all that a side holds of a record, so that a million records are compared without parsing them.

The same values give the same hash in every process and version; different values give different ones but for one
chance in 2^64. The business key is among the values, under its field's name.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b

from shared.domain.model import Value


def row_hash(values: Mapping[str, Value], rules: Mapping[str, str]) -> str:
    """Hash a record's normal forms, and the rules under which they are its normal forms.

    Args:
        values: By the fields' names.
        rules: The fingerprints of the fields' rules: a value under another rule is another value.

    Returns:
        16 hexadecimal digits, the same for the same names and values in any order; "" for no values at all.

    Example: `row_hash({"nombre": "Pump", "valor_libros": None}, {"nombre": "5f0e1c", "valor_libros": "a41d07"})`.
    """
    texts = [parts(named(name, rules[name]), (values[name],))[0] for name in sorted(values)]
    return hashed(texts) if texts else ""


def named(name: str, rule: str) -> str:
    """A field's name as it is hashed, such as `6:nombre 5f0e1c`."""
    return f"{len(name)}:{name} {rule}"


def parts(name: str, values: Iterable[Value]) -> list[str]:
    """Some records' values of one field as they are hashed; `name` is the field's, in the form of `named`.

    Example: `parts("6:nombre 5f0e1c", ["Pump", None])` gives `["6:nombre 5f0e1c4=Pump", "6:nombre 5f0e1c-"]`.
    """
    # A length before each text: no two different records give the same bytes. None is unlike every text.
    return [f"{name}-" if value is None else f"{name}{len(value)}={value}" for value in values]


def hashed(texts: Iterable[str]) -> str:
    """Hash one record: a part of each field, in the order of the fields' names."""
    return blake2b("".join(texts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
