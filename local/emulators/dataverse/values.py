"""From a client's JSON value to a stored one, with the column's rules, and back.

Stored types: `str`, `int`, `bool`, `Decimal`, `date`, `datetime` (UTC), `UUID`; empty is `None`.
"""

import re
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from local.emulators.dataverse.errors import Refusal
from local.emulators.dataverse.schema import Column, ColumnType, Table

type Value = str | int | bool | Decimal | date | datetime | UUID | None

_EDM = {
    ColumnType.STRING: "Edm.String",
    ColumnType.MEMO: "Edm.String",
    ColumnType.MONEY: "Edm.Decimal",
    ColumnType.DECIMAL: "Edm.Decimal",
    ColumnType.INTEGER: "Edm.Int32",
    ColumnType.BIGINT: "Edm.Int64",
    ColumnType.BOOLEAN: "Edm.Boolean",
    ColumnType.DATE: "Edm.Date",
    ColumnType.DATETIME: "Edm.DateTimeOffset",
    ColumnType.PICKLIST: "Edm.Int32",
    ColumnType.STATE: "Edm.Int32",
    ColumnType.STATUS: "Edm.Int32",
    ColumnType.LOOKUP: "Edm.Guid",
    ColumnType.UNIQUEIDENTIFIER: "Edm.Guid",
}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATETIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,12})?)?(Z|[+-]\d{2}:\d{2})", re.ASCII)
_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
# What XML 1.0 cannot carry, the platform refuses.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
# The database's datetime begins with 1753-01-01.
_FIRST_YEAR = 1753
_INT32 = 2**31
_INT64 = 2**63
_MAX_DIGITS = 20


def to_stored(table: Table, column: Column, value: Any, *, numbers_as_text: bool = False) -> Value:
    """Check and convert a JSON value (numbers parsed as `int` and `Decimal`).

    Money and decimals are rounded to the column's precision, half away from zero; an empty text is null;
    times are cut to whole seconds. `numbers_as_text` accepts decimals as strings (`IEEE754Compatible=true`).

    Raises:
        DataverseError: WRONG_TYPE, TOO_LONG, OUT_OF_RANGE, INTEGER_OUT_OF_RANGE, UNKNOWN_CHOICE,
        INVALID_CHARACTER, DATE_OUT_OF_RANGE.

    """
    if value is None:
        return None
    match column.type:
        case ColumnType.STRING | ColumnType.MEMO:
            return _text(table, column, value)
        case ColumnType.MONEY | ColumnType.DECIMAL:
            return _decimal(table, column, value, numbers_as_text=numbers_as_text)
        case ColumnType.INTEGER | ColumnType.BIGINT:
            return _integer(table, column, value)
        case ColumnType.BOOLEAN:
            if isinstance(value, bool):
                return value
        case ColumnType.PICKLIST | ColumnType.STATE | ColumnType.STATUS:
            return _choice(table, column, value)
        case ColumnType.DATE | ColumnType.DATETIME | ColumnType.LOOKUP | ColumnType.UNIQUEIDENTIFIER:
            if isinstance(value, str) and (parsed := parse_text(column.type, value)) is not None:
                return _in_range(parsed)
    raise _wrong_type(table, column, value)


def parse_text(kind: ColumnType, text: str) -> date | datetime | UUID | None:
    """Parse a date, time or GUID in the service's own notation; None if it is not one."""
    try:
        if kind is ColumnType.DATE:
            return date.fromisoformat(text) if _DATE.fullmatch(text) else None
        if kind is ColumnType.DATETIME:
            return (
                datetime.fromisoformat(text).astimezone(UTC).replace(microsecond=0)
                if _DATETIME.fullmatch(text)
                else None
            )
        return UUID(text) if _GUID.fullmatch(text) else None
    except (ValueError, OverflowError):
        return None


def to_json(value: Value) -> Any:
    """Render a stored value for the JSON writer, which knows `Decimal`."""
    if isinstance(value, datetime):
        return f"{value.replace(tzinfo=None).isoformat(timespec='seconds')}Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    return value


def edm_type(column: Column) -> str:
    """Name the column's OData type."""
    return _EDM[column.type]


def _text(table: Table, column: Column, value: Any) -> Value:
    if not isinstance(value, str):
        raise _wrong_type(table, column, value)
    bad = _NOT_XML.search(value)
    if bad:
        raise Refusal.INVALID_CHARACTER(column=column.name, hex=f"{ord(bad.group()):02x}")
    if len(value.encode("utf-16-le")) // 2 > column.max_length:
        raise Refusal.TOO_LONG(column=column.name, table=table.name, limit=column.max_length)
    return value or None


def _decimal(table: Table, column: Column, value: Any, *, numbers_as_text: bool) -> Value:
    if numbers_as_text and isinstance(value, str):
        try:
            value = Decimal(value)
        except InvalidOperation:
            raise _wrong_type(table, column, value) from None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise _wrong_type(table, column, value)
    number = Decimal(value)
    # The limit on digits comes first: rounding a number with a huge exponent would cost memory.
    fits = number.is_finite() and number.adjusted() < _MAX_DIGITS
    if not fits or _outside(number, column):
        raise Refusal.OUT_OF_RANGE(table=table.name, column=column.name, low=column.low, high=column.high)
    # Half up means away from zero in `decimal`, for both signs.
    return number.quantize(Decimal(1).scaleb(-column.precision), rounding=ROUND_HALF_UP) + 0


def _integer(table: Table, column: Column, value: Any) -> Value:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong_type(table, column, value)
    limit = _INT32 if column.type is ColumnType.INTEGER else _INT64
    if not -limit <= value < limit:
        raise _wrong_type(table, column, value)
    if _outside(Decimal(value), column):
        raise Refusal.INTEGER_OUT_OF_RANGE(table=table.name, column=column.name, low=column.low, high=column.high)
    return value


def _choice(table: Table, column: Column, value: Any) -> Value:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong_type(table, column, value)
    if column.option(value) is None:
        accepted = ",".join(str(one.value) for one in column.options)
        raise Refusal.UNKNOWN_CHOICE(value=value, column=column.name, table=table.name, accepted=accepted)
    return value


def _in_range(value: Value) -> Value:
    if isinstance(value, date) and value.year < _FIRST_YEAR:
        raise Refusal.DATE_OUT_OF_RANGE(column="")
    return value


def _outside(number: Decimal, column: Column) -> bool:
    return (column.low is not None and number < column.low) or (column.high is not None and number > column.high)


def _wrong_type(table: Table, column: Column, value: Any) -> Exception:
    shown = str(value) if isinstance(value, str | int | Decimal) else type(value).__name__
    return Refusal.WRONG_TYPE(set=table.set_name, column=column.name, type=edm_type(column), value=shown[:100])
