"""Pages of full lists: what is read of them, and that nothing else is lost or changed."""

from typing import Any

import pytest

from shared.adapters.pages import reader
from shared.adapters.row_hasher import Number
from shared.domain.jsontext import JsonError

READ = reader("value", ("id", "name"), "@odata.nextLink", campos=("cost",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"value": [{"id": "1", "name": null, "more": [1, {}]}], "other": 1}', {"value": [{"id": "1", "name": None}]}),
        ('{"value": [{"id": "1"}], "@odata.nextLink": "u"}', {"value": [{"id": "1"}], "@odata.nextLink": "u"}),
        ('{"value": [{"campos": {"cost": "1", "more": 2}}]}', {"value": [{"campos": {"cost": "1"}}]}),
        ('{"value": [{"id": 7, "id": true, "name": "\\u00e9"}]}', {"value": [{"id": True, "name": "é"}]}),
        ('\N{BYTE ORDER MARK}{"value": []}', {"value": []}),
        ('{"value": [{"id": "\\ud800"}]}', {"value": [{"id": "\ud800"}]}),
        ('{"value": [1], "other": 1}', {"value": [1], "other": 1}),
        ('{"value": [{"campos": 1}]}', {"value": [{"campos": 1}]}),
        ('{"error": 1}', {}),
        ("[]", []),
    ],
    ids=[
        "only the members that are asked for",
        "a member that is left out",
        "members of an object",
        "a member twice",
        "a byte order mark",
        "half a surrogate pair",
        "a record that is no object",
        "a member that is no object",
        "no list",
        "no page",
    ],
)
def test_a_page_is_read_for_the_members_asked_for_or_whole(text: str, expected: Any) -> None:
    assert READ(text.encode()) == expected


@pytest.mark.parametrize("text", ["12.50", "-0.0", "1e400", "1E5", "99999999999.1234567890"])
def test_a_number_with_a_point_or_an_exponent_keeps_its_digits(text: str) -> None:
    (record,) = READ(f'{{"value": [{{"id": {text}}}]}}'.encode())["value"]
    assert record == {"id": text}
    assert type(record["id"]) is Number


def test_a_whole_number_of_any_length_keeps_its_digits() -> None:
    assert READ(b'{"value": [{"id": 123456789012345678901234567890}]}') == {
        "value": [{"id": 123456789012345678901234567890}]
    }


@pytest.mark.parametrize("text", [b"", b"{", b'{"value": [}', b'{"value": []} more', b"<html>", b'{"value": ["\xff"]}'])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(JsonError):
        READ(text)
