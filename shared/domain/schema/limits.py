"""What Dataverse stores at all, whatever a column's definition says: checked before writing, to know the field.

Dataverse refuses what lies beyond, and mostly does not say which column it was: text is counted in UTF-16 units and may
hold only what XML can carry, dates begin with 1753-01-01, and numbers have the ranges of
https://learn.microsoft.com/power-apps/maker/data-platform/types-of-fields.
"""

import re
from decimal import Decimal
from typing import Final

_MONEY: Final = Decimal(922337203685477)
_INT32: Final = 2**31
RANGES: Final[dict[str, tuple[Decimal, Decimal]]] = {
    # A Decimal column holds less than a Money column (100,000,000,000): the mapping's minimum and maximum say so.
    "decimal": (-_MONEY, _MONEY),
    "integer": (Decimal(-_INT32), Decimal(_INT32 - 1)),
}
_FIRST_DATE: Final = "1753-01-01"
_NOT_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def utf16_length(text: str) -> int:
    """The length as Dataverse counts it: a character beyond the first 65,536 counts twice."""
    return len(text) + sum(char > "\uffff" for char in text)


def refused(kind: str, value: str, numbers: tuple[Decimal, Decimal]) -> str | None:
    """Why Dataverse would not store a value in its normal form.

    Args:
        kind: The field's type.
        value: The normal form, such as `1234.5` or `1752-12-31`.
        numbers: The lowest and the highest number.

    Returns:
        What is wrong, as the end of a sentence that begins with "the value", or None.
    """
    match kind:
        case "string" if _NOT_XML.search(value):
            return "holds a control character"
        case "date" | "datetime" if value < _FIRST_DATE:
            # A year below 1000 has leading zeros: the normal forms sort as text.
            return f"is before {_FIRST_DATE}"
        case _ if kind in RANGES:
            lowest, highest = numbers
            if not lowest <= Decimal(value) <= highest:
                return f"is outside {lowest:f} to {highest:f}"
    return None
