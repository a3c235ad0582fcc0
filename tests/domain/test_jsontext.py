import contextlib
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain import jsontext

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | DECIMALS | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=10,
)


@given(JSON)
@settings(max_examples=200, deadline=None)
def test_what_was_written_is_read_back_digit_by_digit(value: Any) -> None:
    read = jsontext.loads(jsontext.dumps(value))
    assert jsontext.dumps(read) == jsontext.dumps(value)


@given(JSON)
@settings(max_examples=100, deadline=None)
def test_whatever_is_written_can_be_sent(value: Any) -> None:
    jsontext.dumps(value).encode()


@pytest.mark.parametrize("number", ["1.10", "1E+5", "0.1", "1e-30", "12345678901234567890.123456789", "1E+999999"])
def test_a_number_keeps_its_digits_on_the_way_through(number: str) -> None:
    read = jsontext.loads(f'{{"n": {number}}}')["n"]
    assert read == Decimal(number)
    assert jsontext.loads(jsontext.dumps([read])) == [Decimal(number)]


@given(st.binary(max_size=200) | st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_anything_is_read_or_refused_with_a_reason(body: bytes | str) -> None:
    # A refusal is a JsonError and nothing else: any other exception fails the test.
    with contextlib.suppress(jsontext.JsonError):
        jsontext.dumps(jsontext.loads(body)).encode()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("[NaN]", "NaN"),
        ("[-Infinity]", "-Infinity"),
        ("[1e99999999999999999999]", "number"),
        ("[" + "1" * 5000 + "]", "number"),
        ('{"a": 1, "b": 2, "a": 1}', "'a' twice"),
        ("[" * 201 + "]" * 201, "200 levels"),
        ("[" * 500_000, "200 levels"),
        (b"\xff", "UTF-8"),
        ("[1 2]", "character 3"),
    ],
)
def test_what_has_no_single_meaning_is_refused(body: str | bytes, says: str) -> None:
    with pytest.raises(jsontext.JsonError, match=says):
        jsontext.loads(body)


def test_nesting_up_to_the_limit_is_read() -> None:
    text = "[" * 200 + "]" * 200
    assert jsontext.dumps(jsontext.loads(text)) == text


@pytest.mark.parametrize("text", ["[" * 300, '"{' * 300, '\\"[' * 300, "\\{" * 300, '["\\\\' * 300 + "\\"])
def test_a_bracket_within_a_text_is_no_level(text: str) -> None:
    deepest = "[" * 199 + jsontext.dumps({text: text}) + "]" * 199
    assert jsontext.dumps(jsontext.loads(deepest)) == deepest
    with pytest.raises(jsontext.JsonError, match="200 levels"):
        jsontext.loads(f"[{deepest}]")


def test_a_number_is_written_as_its_reader_needs_it() -> None:
    assert jsontext.dumps({"n": [Decimal("1E+2"), None, "ñ"]}) == '{"n":[1E+2,null,"ñ"]}'
    assert jsontext.dumps({"n": [Decimal("1E+2"), None, "ñ"]}, "{:f}".format) == '{"n":[100,null,"ñ"]}'


def test_what_cannot_be_written_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        jsontext.dumps([Decimal(1), object()])


@pytest.mark.parametrize("body", ["", "{", b"\xff", "[" * 500_000, "[1e99999999999999999999]", "[" + "1" * 5000 + "]"])
def test_an_answer_that_cannot_be_read_is_refused_like_any_other_text(body: str | bytes) -> None:
    with pytest.raises(jsontext.JsonError):
        jsontext.parse(body)


def test_an_answer_s_decimals_are_exact_or_what_their_reader_makes_of_them() -> None:
    assert jsontext.parse('{"n": 0.10}') == {"n": Decimal("0.10")}
    assert jsontext.parse('{"n": 0.10}', str) == {"n": "0.10"}
