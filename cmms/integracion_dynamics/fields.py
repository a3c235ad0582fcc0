"""Values between a model's columns and the contract's JSON.

On the wire a decimal is a string in plain notation as stored, a date `YYYY-MM-DD`, an instant UTC in ISO
8601 with `Z`, and null means cleared. A date never passes through a time zone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timezone
from decimal import Context, Decimal
from enum import Enum
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone as django_timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,40}(\.\d{1,40})?", re.ASCII)
_EXACT = Context(prec=100)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Kind(Enum):
    """What a column holds, as far as the contract tells values apart; the value says how it is written."""

    TEXT = gettext_noop("text")
    DECIMAL = gettext_noop('a decimal as a string, like "1234.50"')
    DATE = gettext_noop('a date as "YYYY-MM-DD"')
    INSTANT = gettext_noop('an instant with its offset, like "2026-01-31T12:00:00Z"')
    INTEGER = gettext_noop("a whole number")
    BOOLEAN = gettext_noop("true or false")


class UnusableValueError(ValueError):
    """A value that the column cannot hold; the text is a sentence about its shape, never the value itself."""


def _not(kind: Kind) -> UnusableValueError:
    return UnusableValueError(_("is not %(kind)s") % {"kind": _(kind.value)})


def kind_of(field: models.Field[Any, Any]) -> Kind | None:
    """The kind of a column, or None when the contract has no form for it (floats, files, relations, ...)."""
    # An instant's column is a subclass of a date's, so the order matters.
    kinds: list[tuple[type[models.Field[Any, Any]], Kind]] = [
        (models.DateTimeField, Kind.INSTANT),
        (models.DateField, Kind.DATE),
        (models.DecimalField, Kind.DECIMAL),
        (models.BooleanField, Kind.BOOLEAN),
        (models.IntegerField, Kind.INTEGER),
        (models.CharField, Kind.TEXT),
        (models.TextField, Kind.TEXT),
    ]
    return next((kind for type_, kind in kinds if isinstance(field, type_)), None)


def to_wire(value: Any) -> Any:
    """A value as read from the database, in the contract's form."""
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value or abs(value), "f")
    if isinstance(value, Enum):
        return to_wire(value.value)
    return value


def instant(value: datetime) -> str:
    """UTC with six decimals and `Z`, so that instants sort as text; a naive value is local time."""
    aware = django_timezone.make_aware(value) if django_timezone.is_naive(value) else value
    return aware.astimezone(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_instant(text: str) -> datetime:
    """Read an ISO 8601 instant with an offset, as aware UTC.

    Raises:
        UnusableValueError: no offset, another form, or outside the years 1 to 9999.
    """
    try:
        found = parse_datetime(text) if _INSTANT.fullmatch(text) else None
        if found is not None:
            return found.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        pass
    raise _not(Kind.INSTANT)


def usable_text(text: str) -> bool:
    """Whether every database can store the text: neither NUL nor half a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def from_wire(field: models.Field[Any, Any], value: Any) -> Any:
    """A value from JSON in the form that the column takes; length and range are the model's to validate.

    Raises:
        UnusableValueError: the value has another form than the column's kind.
    """
    kind = kind_of(field)
    if value is None:
        if field.null:
            return None
        if kind is Kind.TEXT and field.blank:
            return ""
        raise UnusableValueError(_("cannot be cleared: the CMMS requires a value"))
    if kind is None:
        raise UnusableValueError(_("has a type that cannot be written"))
    return _READERS[kind](field, value)


def _text(_field: models.Field[Any, Any], value: Any) -> str:
    if not isinstance(value, str):
        raise _not(Kind.TEXT)
    if not usable_text(value):
        raise UnusableValueError(_("contains a character that cannot be stored (NUL or half a surrogate pair)"))
    return value


def _decimal(field: models.Field[Any, Any], value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise _not(Kind.DECIMAL)
    if isinstance(value, int):
        value = Decimal(value)
    if isinstance(value, Decimal):
        # An exponent is bounded before it is written out: 1e999999999 is eleven characters.
        usable = value.is_finite() and abs(value.adjusted()) <= 40 and len(value.as_tuple().digits) <= 40  # noqa: PLR2004 - the bound of _DECIMAL
        value = format(value, "f") if usable else ""
    if not _DECIMAL.fullmatch(value):
        raise _not(Kind.DECIMAL)
    number = Decimal(value)
    scale = getattr(field, "decimal_places", None)
    if scale is not None:
        # Dynamics writes 10.5000 for 10.50: zeros beyond the scale are no difference, digits are.
        fitted = number.quantize(Decimal(1).scaleb(-int(scale)), context=_EXACT)
        number = fitted if fitted == number else number
    return number


def _date(_field: models.Field[Any, Any], value: Any) -> date:
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise _not(Kind.DATE)


def _instant(_field: models.Field[Any, Any], value: Any) -> datetime:
    if not isinstance(value, str):
        raise _not(Kind.INSTANT)
    found = parse_instant(value)
    try:
        local = django_timezone.localtime(found)
    except OverflowError:
        message = _("is not an instant that the CMMS's time zone can show")
        raise UnusableValueError(message) from None
    return found if settings.USE_TZ else local.replace(tzinfo=None)


def _integer(_field: models.Field[Any, Any], value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _not(Kind.INTEGER)
    return value


def _boolean(_field: models.Field[Any, Any], value: Any) -> bool:
    if not isinstance(value, bool):
        raise _not(Kind.BOOLEAN)
    return value


_READERS: dict[Kind, Callable[[models.Field[Any, Any], Any], Any]] = {
    Kind.TEXT: _text,
    Kind.DECIMAL: _decimal,
    Kind.DATE: _date,
    Kind.INSTANT: _instant,
    Kind.INTEGER: _integer,
    Kind.BOOLEAN: _boolean,
}
