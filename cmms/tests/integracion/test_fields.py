from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from django.db import models
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from demo.inventario.models import Activo, Requisicion
from integracion_dynamics.fields import (
    UnusableValueError,
    from_wire,
    instant,
    kind_of,
    parse_instant,
    to_wire,
)

TEXT = Activo._meta.get_field("nombre")
NULLABLE_TEXT = Activo._meta.get_field("serie")
BLANK_TEXT = Requisicion._meta.get_field("justificacion")
MONEY = Activo._meta.get_field("costo")
DAY = Activo._meta.get_field("fecha_compra")
MOMENT = Requisicion._meta.get_field("fecha_creacion")
COUNT: models.Field[Any, Any] = models.IntegerField()
FLAG: models.Field[Any, Any] = models.BooleanField()


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    with translation.override("en"):
        yield


@given(st.decimals(-(10**8), 10**8, places=2))
def test_a_decimal_survives_the_wire_digit_by_digit(value: Decimal) -> None:
    wire = to_wire(value)
    assert "E" not in wire
    assert from_wire(MONEY, wire) == value
    assert to_wire(from_wire(MONEY, wire)) == wire


@pytest.mark.parametrize("given_", ["1234.5", "1234.5000", Decimal("1234.50"), Decimal("1.2345E+3"), "+1234.50"])
def test_a_decimal_takes_the_scale_of_its_column_when_no_digit_is_lost(given_: Any) -> None:
    assert to_wire(from_wire(MONEY, given_)) == "1234.50"


def test_a_decimal_with_too_many_digits_reaches_the_models_validation_unrounded() -> None:
    assert from_wire(MONEY, "1.005") == Decimal("1.005")


@pytest.mark.parametrize(
    "value",
    [
        *("", " 1", "1,5", "1e3", "NaN", "Infinity", "-", "\u0661", "1" * 41, "1.", ".5"),
        *(Decimal("1e999999999"), Decimal("1e-999999999"), 10**41, True, [], {}, 1.5),
    ],
)
def test_what_is_no_plain_decimal_is_refused(value: Any) -> None:
    with pytest.raises(UnusableValueError, match="decimal as a string"):
        from_wire(MONEY, value)


def test_minus_zero_is_zero() -> None:
    assert to_wire(Decimal("-0.00")) == "0.00"


@given(st.dates())
def test_a_date_survives_the_wire_whatever_the_time_zone(value: date) -> None:
    assert from_wire(DAY, to_wire(value)) == value


@pytest.mark.parametrize(
    "value", ["2026-1-2", "2026-02-30", "20260101", "2026-W01-1", "2026-01-01T00:00:00Z", "0000-01-01", 5]
)
def test_what_is_no_date_is_refused(value: Any) -> None:
    with pytest.raises(UnusableValueError, match="YYYY-MM-DD"):
        from_wire(DAY, value)


def test_instants_are_utc_with_six_decimals_so_that_they_sort_as_text() -> None:
    tegucigalpa = timezone(timedelta(hours=-6))
    assert instant(datetime(2026, 1, 31, 6, 0, 0, 1, tegucigalpa)) == "2026-01-31T12:00:00.000001Z"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000000Z"),
        ("2026-01-31T12:00Z", "2026-01-31T12:00:00.000000Z"),
        ("2026-01-31T06:00:00.1234567-06:00", "2026-01-31T12:00:00.123456Z"),
    ],
)
def test_instants_of_any_offset_and_precision_are_read(text: str, expected: str) -> None:
    assert instant(parse_instant(text)) == expected
    assert to_wire(from_wire(MOMENT, text)) == expected


@pytest.mark.parametrize(
    "value",
    [
        *(
            "2026-01-31T12:00:00",
            "2026-01-31",
            "2026-02-30T12:00:00Z",
            "9999-12-31T23:59:59-06:00",
            "",
            "now",
        ),
        *("0001-01-01T00:00:00+06:00", "2026-01-31T25:00:00Z", "2026-01-31T12:00:00+99:00", 1767225600),
    ],
)
def test_what_is_no_instant_is_refused(value: Any) -> None:
    with pytest.raises(UnusableValueError, match="instant"):
        from_wire(MOMENT, value)


def test_an_instant_that_local_time_cannot_show_is_refused() -> None:
    with pytest.raises(UnusableValueError, match="time zone"):
        from_wire(MOMENT, "0001-01-01T00:00:00Z")


@pytest.mark.parametrize("value", ["a\0b", "\ud800", 5, None, ["a"]])
def test_text_that_no_database_can_store_is_refused(value: Any) -> None:
    with pytest.raises(UnusableValueError):
        from_wire(TEXT, value)


def test_null_clears_a_nullable_column_and_empties_a_text_that_may_be_blank() -> None:
    assert from_wire(NULLABLE_TEXT, None) is None
    assert from_wire(BLANK_TEXT, None) == ""


@pytest.mark.parametrize(("field", "good", "bad"), [(COUNT, 5, True), (COUNT, -5, "5"), (FLAG, True, 1)])
def test_numbers_and_flags_are_not_mixed_up(field: models.Field[Any, Any], good: Any, bad: Any) -> None:
    assert from_wire(field, good) == good
    with pytest.raises(UnusableValueError):
        from_wire(field, bad)


def test_columns_that_the_contract_cannot_carry_have_no_kind() -> None:
    assert kind_of(models.FloatField()) is None
    assert kind_of(models.FileField()) is None
    with pytest.raises(UnusableValueError):
        from_wire(models.FloatField(), 1)
