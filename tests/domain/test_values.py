"""The normal forms: what a raw value becomes, and what is refused."""

import contextlib
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import jsontext
from shared.domain.schema import values

NORMAL = [values.text, values.decimal, values.day, values.instant]
MONEY = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15, places=4)
MOMENTS = st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis adds the zone
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@pytest.mark.parametrize("normal", NORMAL)
@pytest.mark.parametrize("empty", [None, ""])
def test_nothing_and_the_empty_text_are_no_value(normal: object, empty: object) -> None:
    assert callable(normal)
    assert normal(empty) is None


@pytest.mark.parametrize("zero", ["0", "0.00", "-0", "-0.0", 0, Decimal("0E-9"), Decimal("-0")])
def test_zero_is_a_figure_not_an_absence(zero: object) -> None:
    assert values.decimal(zero) == "0"


@given(MONEY)
def test_a_decimal_is_the_same_from_text_and_from_a_json_number(number: Decimal) -> None:
    as_text = values.decimal(format(number, "f"))
    assert as_text == values.decimal(jsontext.loads(format(number, "f")))
    assert as_text is not None
    assert Decimal(as_text) == number


@given(MONEY)
def test_normalising_a_decimal_twice_changes_nothing(number: Decimal) -> None:
    once = values.decimal(number)
    assert values.decimal(once) == once


@given(MONEY, st.integers(0, 6))
def test_formatting_is_no_difference(number: Decimal, zeros: int) -> None:
    text = format(number, "f")
    padded = text + ("0" * zeros if "." in text else "." + "0" * (zeros + 1))
    assert values.decimal(padded) == values.decimal(text)


def test_a_decimal_that_float_cannot_hold_keeps_every_digit() -> None:
    digits = "12345678901234567890.0123456789"
    assert float(digits) != Decimal(digits)
    assert values.decimal(digits) == digits
    assert values.decimal(jsontext.loads(digits)) == digits


@pytest.mark.parametrize("number", [0.1, 1e3, float("nan"), float("inf")])
def test_a_float_is_refused_because_its_digits_are_a_guess(number: float) -> None:
    with pytest.raises(ValueError, match="not a decimal"):
        values.decimal(number)


@pytest.mark.parametrize(
    "raw",
    [
        *("1,5", "1.", ".5", "1e3", "NaN", "Infinity", "0x10", "1_000", " 1", "1 ", "1\n", "١٢", "--1", "1.2.3", "$5"),
        *(True, False, [], {}, "9" * 60, "1." + "0" * 60, Decimal("1E+38"), Decimal("1E-39"), Decimal("1E+999999999")),
        *(10**38, Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity")),
    ],
)
def test_what_is_no_plain_decimal_is_refused(raw: object) -> None:
    with pytest.raises(ValueError, match=r"is |has |holds "):
        values.decimal(raw)


@given(st.dates())
def test_a_date_stays_the_day_that_was_written(day: date) -> None:
    assert values.day(day.isoformat()) == day.isoformat()


@given(st.dates(), st.sampled_from(["Z", "+00:00", "-07:00", "+14:00", "", ".000Z"]))
def test_a_midnight_is_dropped_as_written_and_never_moved_by_its_offset(day: date, offset: str) -> None:
    for separator in "T ":
        tail = "00:00:00" + offset
        assert values.day(f"{day.isoformat()}{separator}{tail}") == day.isoformat()


@pytest.mark.parametrize(
    "raw",
    [
        *("2026-02-30", "0000-01-01", "2026-1-1", "26-01-01", "20260101", "01/02/2026", "2026-01-01T06:00:00Z"),
        *("2026-01-01T00:00:01", "2026-01-01x", "2026-01-01\n", "\uff12026-01-01", 20260101, True, [], "2026-W01-1"),
    ],
)
def test_what_could_be_another_day_is_refused(raw: object) -> None:
    with pytest.raises(ValueError, match=r"is |has "):
        values.day(raw)


@given(MOMENTS, OFFSETS)
def test_an_instant_is_the_same_whatever_its_offset(moment: datetime, zone: timezone) -> None:
    whole = moment.replace(microsecond=0)
    assert values.instant(whole.astimezone(zone).isoformat()) == values.instant(whole.isoformat())


@given(MOMENTS)
def test_an_instant_normalised_twice_is_the_same(moment: datetime) -> None:
    once = values.instant(moment.isoformat())
    assert once is not None
    assert once.endswith("Z")
    assert values.instant(once) == once


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999), st.sampled_from(["", "-0700", "+0530", "+0000"]))
def test_microsofts_milliseconds_are_utc_and_the_offset_moves_nothing(milliseconds: int, offset: str) -> None:
    expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    assert values.parse_instant(f"/Date({milliseconds}{offset})/") == expected


@pytest.mark.parametrize(
    "raw",
    [
        *(
            "2026-01-01T00:00:00",
            "2026-01-01",
            "now",
            "/Date(1e3)/",
            "/Date()/",
            "/Date(1)/x",
            "/Date(999999999999999)/",
        ),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", 1767225600, True, None, [], "/Date(1+7)/"),
    ],
)
def test_an_instant_that_is_ambiguous_or_none_is_refused(raw: object) -> None:
    with pytest.raises(ValueError, match=r"is "):
        values.parse_instant(raw)


@given(st.text().filter(lambda text: "\0" not in text and text))
def test_text_stays_as_it_is(text: str) -> None:
    assert values.text(text) == text


@pytest.mark.parametrize("raw", ["a\0b", "\ud800", "x\udfff", 7, 7.0, Decimal(7), True, [], {}])
def test_text_that_no_database_stores_and_numbers_are_refused(raw: object) -> None:
    with pytest.raises(ValueError, match=r"is |holds "):
        values.text(raw)


@pytest.mark.parametrize("normal", NORMAL)
@pytest.mark.parametrize("raw", ["s3cr3t\0", ["s3cr3t"], {"s3cr3t": "s3cr3t"}, "s3cr3t\ud800"])
def test_a_refusal_shows_the_values_shape_and_never_the_value(normal: object, raw: object) -> None:
    assert callable(normal)
    with pytest.raises(ValueError, match=r"is |holds ") as refused:
        normal(raw)
    assert "s3cr3t" not in str(refused.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=40) | st.integers() | st.decimals(), st.lists, max_leaves=3
    )
)
def test_any_raw_value_is_normalised_to_text_or_refused(raw: object) -> None:
    for normal in NORMAL:
        # A refusal is a ValueError and nothing else: any other exception fails the test.
        with contextlib.suppress(ValueError):
            assert isinstance(normal(raw), str | None)
