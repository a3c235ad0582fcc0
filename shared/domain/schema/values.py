"""The normal form of each type: what a raw JSON value becomes, or why it is refused.

Every function takes JSON as `json.loads(text, parse_float=Decimal)` gives it and raises ValueError with the
value's shape, never the value itself: it may be private, and it goes into logs and parked messages.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import wraps
from typing import Any, Final

from shared.domain.jsontext import dumps
from shared.domain.model import Value
from shared.domain.words import plural

_PLAIN_DECIMAL: Final = re.compile(r"(?!.{41})[+-]?[0-9]+(\.[0-9]+)?\Z")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_MIDNIGHT: Final = re.compile(r"([T ]00:00(:00(\.0+)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?\Z")
_MICROSOFT: Final = re.compile(r"/Date\((-?[0-9]{1,15})([+-][0-9]{4})?\)/\Z")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_SHAPES: Final = {
    type(None): "null",
    bool: "true or false",
    int: "a number",
    float: "a number",
    Decimal: "a number",
}
_MOST_SHOWN: Final = 200
# More digits than any money or decimal column holds; beyond it a plain-text form could grow without bound.
_MOST_DIGITS: Final = 38


def shape(raw: object) -> str:
    """Describe a value without showing it: `text of 12 characters`, `a number`, `true or false`."""
    match raw:
        case str():
            return f"text of {plural(len(raw), 'character')}"
        case list():
            return f"a list of {len(raw)}"
        case dict():
            return f"an object of {plural(len(raw), 'member')}"
    return _SHAPES.get(type(raw), type(raw).__name__)


def shown_raw(raw: object) -> str:
    """A refused value as it was read, cut at 200 characters: text as it is, anything else as JSON."""
    shown = raw if isinstance(raw, str) else dumps(raw, str)
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}…"


type _Normal = Callable[[object], Value]


def _of(*kinds: type, called: str) -> Callable[[Callable[[Any], str]], _Normal]:
    """Let a function see values of these types alone: null and "" are no value, all others are refused."""

    def checked(normal: Callable[[Any], str]) -> _Normal:
        @wraps(normal)
        def either(raw: object) -> Value:
            if raw in (None, ""):
                return None
            # `True` is an `int`, too.
            if not isinstance(raw, kinds) or isinstance(raw, bool) != (bool in kinds):
                raise ValueError(f"is {shape(raw)}, not {called}")
            return normal(raw)

        return either

    return checked


@_of(str, called="text")
def text(raw: str) -> str:
    """Normalise text; numbers are refused, because they have lost their leading zeros.

    Raises:
        ValueError: Not text, or text that no database stores (NUL, a lone surrogate).
    """
    if _UNSTORABLE.search(raw):
        raise ValueError("holds a character that cannot be stored (NUL or half of a surrogate pair)")
    return raw


@_of(str, int, Decimal, called="a decimal")
def decimal(raw: str | int | Decimal) -> str:
    """Normalise a decimal from a JSON number or from text of plain digits with a point: plain digits again.

    Raises:
        ValueError: Not such a number, not finite, or longer than 38 digits.
    """
    if isinstance(raw, str) and not _PLAIN_DECIMAL.match(raw):
        raise ValueError(f"is {shape(raw)} and not plain digits with a point, such as 1234.50")
    number = Decimal(raw)
    if not number.is_finite():
        raise ValueError("is not a finite number")
    if not number:
        return "0"
    if max(number.adjusted() + 1, -int(number.as_tuple().exponent)) > _MOST_DIGITS:
        raise ValueError(f"has more than {_MOST_DIGITS} digits")
    digits = format(number, "f")
    return digits.rstrip("0").rstrip(".") if "." in digits else digits


def integer(raw: object) -> Value:
    """Normalise a whole number from a JSON number or from text of plain digits.

    Raises:
        ValueError: Not such a number, or one with decimals.
    """
    number = decimal(raw)
    if "." in (number or ""):
        raise ValueError("has decimals, and the field is a whole number")
    return number


@_of(bool, called="true or false")
def boolean(raw: bool) -> str:
    """Normalise true and false; texts such as "yes" are refused: each system has its own.

    Raises:
        ValueError: Neither of the two.
    """
    return str(raw).lower()


@_of(str, called="a date")
def day(raw: str) -> str:
    """Normalise a date; midnight is dropped as written, any other time is refused: it could mean another day.

    Raises:
        ValueError: Not `YYYY-MM-DD`, not a day of the calendar, or with a time of day.
    """
    head, tail = raw[:10], raw[10:]
    if not _DATE.match(head):
        raise ValueError(f"is {shape(raw)} and not a date such as 2026-01-31")
    try:
        date.fromisoformat(head)
    except ValueError:
        raise ValueError("is not a day of the calendar") from None
    if not _MIDNIGHT.match(tail):
        raise ValueError("has a time of day: a date must stay a date, such as 2026-01-31")
    return head


def parse_instant(raw: object) -> datetime:
    """Read an instant: ISO 8601 with an offset, or Microsoft's `/Date(ms)/` and `/Date(ms+zzzz)/`.

    In the latter the milliseconds are UTC and the offset only says where it was written.

    Raises:
        ValueError: Neither form, without an offset, or outside the years 1 to 9999.
    """
    if not isinstance(raw, str):
        raise ValueError(f"is {shape(raw)}, not an instant")
    try:
        return _in_utc(raw)
    except OverflowError:
        raise ValueError("is an instant outside the years 1 to 9999") from None


def _in_utc(raw: str) -> datetime:
    if found := _MICROSOFT.match(raw):
        return _EPOCH + timedelta(milliseconds=int(found[1]))
    try:
        moment = datetime.fromisoformat(raw)
    except ValueError:
        raise ValueError(f"is {shape(raw)} and not an instant such as 2026-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("is an instant without an offset from UTC: end it with Z or +00:00")
    return moment.astimezone(UTC)


@_of(str, called="an instant")
def instant(raw: str) -> str:
    """Normalise an instant to whole seconds of UTC.

    Raises:
        ValueError: See `parse_instant`.
    """
    return parse_instant(raw).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def rounds_to(value: Value, shown: Value) -> bool:
    """Whether one decimal in normal form is another one, rounded to fewer decimals: a column's precision did that."""
    if value is None or shown is None:
        return False
    try:
        exact, rounded = Decimal(value), Decimal(shown)
    except InvalidOperation:
        return False
    # Half a unit of the last decimal that can be seen; trailing zeros cannot, so that one more decimal is allowed for.
    places = max(len(shown.partition(".")[2]), 1)
    return abs(exact - rounded) <= Decimal(1).scaleb(-places) / 2 and len(value.partition(".")[2]) > places


def is_other(written: Value, shown: Value) -> bool:
    """Whether a side shows something else than what was written to it, or what that rounds to."""
    return shown != written and not rounds_to(written, shown)
