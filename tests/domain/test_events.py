"""The messages: what is read, what is refused, and what a copy keeps."""

import contextlib
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.jsontext import loads
from shared.domain.messages.events import (
    DATA,
    DeletedData,
    DirtyData,
    Event,
    RenamedData,
    UpsertedData,
    parse_event,
)
from shared.domain.model import Version
from shared.errors import InvalidMessage
from tests.fakes import captured, captured_as, document_mapping

MAPPING = document_mapping()
ASSET, ORDER = MAPPING.entities["asset"], MAPPING.entities["order"]
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=30)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False).map(float)
    | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)
# https://learn.microsoft.com/azure/azure-functions/functions-bindings-service-bus-trigger#message-metadata
METADATA = {
    *("applicationproperties", "client", "contenttype", "correlationid", "deadlettererrordescription"),
    *("deadletterreason", "deadlettersource", "deliverycount", "enqueuedsequencenumber", "enqueuedtime"),
    *("enqueuedtimeutc", "expiresat", "expiresatutc", "label", "lockeduntil", "locktoken", "messageactions"),
    *("messageid", "messagereceiver", "messagesession", "partitionkey", "receiveactions", "replyto"),
    *("replytosessionid", "sequencenumber", "sessionactions", "sessionid", "state", "subject", "timetolive", "to"),
    *("transactionpartitionkey", "userproperties"),
}


def upserted(**data: Any) -> UpsertedData:
    body = captured_as("cmms_asset_upserted", data=data)
    payload = parse_event(body).payload(ASSET)
    assert isinstance(payload, UpsertedData)
    return payload


def test_fields_under_fields_and_fields_beside_the_key_are_read() -> None:
    nested = parse_event(captured("cmms_asset_upserted")).payload(ASSET)
    flat = parse_event(captured("cmms_asset_upserted_flat")).payload(ASSET)
    assert isinstance(nested, UpsertedData)
    assert isinstance(flat, UpsertedData)
    assert nested.key == "0001"
    assert nested.fields == {
        "codigo_interno": "0001",
        "nombre": "Bomba de agua n.º 1",
        "numero_de_serie": None,
        "valor_adquisicion": "1001.01",
        "fecha_adquisicion": "2024-02-02",
    }
    assert flat.fields == {
        "codigo_interno": "0001",
        "nombre": "Bomba de agua n.º 1",
        "numero_de_serie": None,
        "valor_adquisicion": Decimal("1001.01"),
    }


def test_a_flat_message_keeps_its_key_and_version_apart_from_its_fields() -> None:
    payload = upserted(key="0001", version="2026-01-31T12:00:00.5Z", sequence=7, nombre="Bomba")
    assert (payload.key, payload.sequence, payload.fields) == ("0001", 7, {"nombre": "Bomba"})
    assert payload.version == datetime(2026, 1, 31, 12, 0, 0, 500_000, UTC)


def test_an_absent_field_is_not_said_and_null_is_said() -> None:
    assert "nombre" not in upserted(key="1", fields={"serie": None}).fields
    assert upserted(key="1", fields={"nombre": None}).fields == {"nombre": None}


@pytest.mark.parametrize("kind", ["upserted", "deleted", "renamed"])
@pytest.mark.parametrize(
    ("said", "read"),
    [("17", "17"), (17, "17"), (0, "0"), (-1, "-1"), (2**64, str(2**64)), ("Á/ 1", "Á/ 1"), (None, None)],
)
def test_the_cmms_says_its_own_id_as_text_or_as_a_whole_number(kind: str, said: object, read: str | None) -> None:
    data = {"id": said, "key": "1", "nombre": "Bomba"} | ({"old_key": "0"} if kind == "renamed" else {})
    payload = parse_event(captured_as("cmms_asset_upserted", type=f"energy.asset.{kind}", data=data)).payload(ASSET)
    assert isinstance(payload, (UpsertedData, DeletedData))
    assert payload.id == read
    if isinstance(payload, UpsertedData):
        assert payload.fields == {"nombre": "Bomba"}


@pytest.mark.parametrize("member", ["id", "cmms_id"])
@pytest.mark.parametrize("wrong", [True, "", "x" * 1025, 10**1025, [], {}])
def test_what_is_neither_text_nor_a_whole_number_is_no_id(member: str, wrong: object) -> None:
    kind = "sync.asset.dirty" if member == "cmms_id" else "energy.asset.upserted"
    with pytest.raises(InvalidMessage, match=f"{member}:"):
        parse_event(captured_as("cmms_asset_upserted", type=kind, data={member: wrong, "key": "1"})).payload(ASSET)


@pytest.mark.parametrize("number", ["17.0", "1.7e1", "1e300999999"])
def test_a_number_that_could_be_written_in_several_ways_is_no_id(number: str) -> None:
    body = captured_as("cmms_asset_upserted", data={"key": "1", "id": 98765}).replace(b"98765", number.encode())
    with pytest.raises(InvalidMessage, match="id:"):
        parse_event(body).payload(ASSET)


@pytest.mark.parametrize(
    "names",
    [
        {"key": "1"},
        {"cmms_id": 17},
        {"record_id": "1d2c3b4a-5f6e-4d7c-8b9a-0e1f2a3b4c5d"},
        {"cmms_id": "a", "key": "1"},
    ],
)
def test_a_dirty_message_names_its_record_by_any_of_its_names(names: dict[str, object]) -> None:
    payload = parse_event(captured_as("cmms_asset_upserted", type="sync.asset.dirty", data=names)).payload(ASSET)
    assert isinstance(payload, DirtyData)
    assert payload.model_dump(mode="json", exclude_none=True).items() >= {k: str(v) for k, v in names.items()}.items()


@pytest.mark.parametrize("name", sorted(set(Event.model_fields) - {"specversion", "id", "source", "type", "data"}))
def test_an_attribute_that_is_null_is_one_that_is_not_set(name: str) -> None:
    said = json.loads(captured("cmms_asset_upserted"))
    without = {member: value for member, value in said.items() if member != name}
    assert parse_event(json.dumps(said | {name: None})) == parse_event(json.dumps(without))


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type", "data"])
def test_an_attribute_that_is_needed_may_not_be_null(name: str) -> None:
    with pytest.raises(InvalidMessage, match=name):
        parse_event(json.dumps(json.loads(captured("cmms_asset_upserted")) | {name: None}))


def test_an_extension_that_is_null_is_not_carried_on() -> None:
    body = json.dumps(json.loads(captured("cmms_asset_upserted")) | {"tenant": None, "region": ""})
    assert "tenant" not in loads(parse_event(body).to_json())
    assert loads(parse_event(body).to_json())["region"] == ""


@pytest.mark.parametrize("nothing", ["version", "sequence", "origin", "id", "fields"])
def test_a_member_of_the_data_that_is_null_is_not_said_and_a_field_that_is_null_is_cleared(nothing: str) -> None:
    flat = upserted(**{"key": "1", nothing: None}, serie=None)
    assert flat == upserted(key="1", serie=None)
    assert flat.fields == {"numero_de_serie": None}


@pytest.mark.parametrize("body", [captured("cmms_asset_upserted"), captured("cmms_asset_upserted").decode()])
def test_a_byte_order_mark_before_a_message_is_skipped(body: str | bytes) -> None:
    mark = "\N{BYTE ORDER MARK}"
    marked = mark + body if isinstance(body, str) else mark.encode() + body
    assert parse_event(marked) == parse_event(body)
    with pytest.raises(InvalidMessage, match="not JSON"):
        parse_event(mark + (marked if isinstance(marked, str) else marked.decode()))


def test_a_flat_rename_is_read_like_a_nested_one() -> None:
    nested = parse_event(captured("cmms_asset_renamed")).payload(ASSET)
    flat = captured_as("cmms_asset_renamed", data={"key": "0002", "old_key": "0001", "nombre": "Bomba"})
    payload = parse_event(flat).payload(ASSET)
    assert isinstance(nested, RenamedData)
    assert isinstance(payload, RenamedData)
    assert (payload.key, payload.old_key, payload.fields) == (nested.key, nested.old_key, nested.fields)


def test_a_deletion_and_a_dirty_message_name_their_record() -> None:
    deleted = parse_event(captured("cmms_order_deleted")).payload(ORDER)
    assert isinstance(deleted, DeletedData)
    assert deleted.key == "REQ-MANT-001-2026"
    record_id = "1d2c3b4a-5f6e-4d7c-8b9a-0e1f2a3b4c5d"
    body = captured_as("cmms_asset_upserted", type="sync.asset.dirty", data={"record_id": record_id})
    dirty = parse_event(body).payload(ASSET)
    assert isinstance(dirty, DirtyData)
    assert (dirty.record_id, dirty.key, dirty.operation) == (UUID(record_id), None, "resync")


def test_a_version_is_the_datas_else_the_events_time_else_unknown() -> None:
    time = datetime(2026, 1, 31, tzinfo=UTC)
    said = upserted(key="1", version="2026-01-31T13:00:00+01:00", sequence=3)
    assert said.as_version(time) == Version(datetime(2026, 1, 31, 12, tzinfo=UTC), 3)
    assert upserted(key="1").as_version(time) == Version(time)
    assert upserted(key="1").as_version(None) is None


def test_versions_are_ordered_by_instant_and_then_by_the_outbox() -> None:
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 0, 1, UTC)
    ordered = [Version(early, 1), Version(early, 2), Version(late, 0), Version(late, 9)]
    assert sorted([ordered[2], ordered[0], ordered[3], ordered[1]]) == ordered
    assert Version(early, 2) <= Version(early, 2)
    assert not Version(early, 2) < Version(early, 2)


@pytest.mark.parametrize(
    ("first", "second"),
    [("serie", "numero_de_serie"), ("costo", "valor_adquisicion")],
)
def test_two_names_of_one_field_must_say_the_same(first: str, second: str) -> None:
    assert upserted(key="1", fields={first: "7", second: "7"}).fields == {second: "7"}
    with pytest.raises(InvalidMessage, match=f"{first} and {second} are both names of {second}"):
        upserted(key="1", fields={first: "7", second: "8"})


def test_no_attribute_is_one_that_the_host_would_overwrite_with_the_messages_own() -> None:
    names = {name.lower() for name in Event.model_fields}
    assert names & (METADATA | {f"{name}array" for name in METADATA}) == {"subject"}


@given(
    st.dictionaries(
        st.text(max_size=30).filter(lambda name: name not in Event.model_fields),
        JSON.filter(lambda value: value is not None),
        max_size=4,
    )
)
@settings(max_examples=100, deadline=None)
def test_a_copy_keeps_extensions_that_nobody_here_knows(extensions: dict[str, Any]) -> None:
    body = json.dumps(json.loads(captured("cmms_asset_upserted")) | extensions)
    event = parse_event(body)
    copy = event.model_copy(update={"attempt": event.attempt + 1, "firstenqueued": datetime(2026, 1, 1, tzinfo=UTC)})
    again = loads(copy.to_json())
    assert {name: again[name] for name in extensions} == {name: loads(body)[name] for name in extensions}
    assert (again["attempt"], again["firstenqueued"]) == (1, "2026-01-01T00:00:00+00:00")


@given(st.dictionaries(ANY_TEXT, JSON, max_size=4))
@settings(max_examples=100, deadline=None)
def test_a_copy_keeps_the_data_as_it_was_sent_nulls_and_digits_included(fields: dict[str, Any]) -> None:
    body = captured_as("cmms_asset_upserted", data={"key": "0001", "fields": fields})
    assert loads(parse_event(body).to_json())["data"] == loads(body)["data"]
    assert parse_event(parse_event(body).to_json()) == parse_event(body)


@pytest.mark.parametrize("number", ["1.10", "1E+5", "0.30000000000000000001", "1e400"])
def test_a_copy_of_a_number_is_still_that_number(number: str) -> None:
    body = captured("cmms_asset_upserted").replace(b'"1001.01"', number.encode())
    copied = loads(parse_event(body).to_json())["data"]["fields"]["costo"]
    assert copied == Decimal(number)
    assert isinstance(copied, Decimal)


def test_an_extension_cannot_take_the_place_of_what_the_code_calls() -> None:
    event = parse_event(captured_as("cmms_asset_upserted", kind="dirty", entity="order", to_json="x", model_fields=1))
    assert (event.kind, event.entity) == ("upserted", "asset")
    assert loads(event.to_json())["kind"] == "dirty"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"specversion": None}, "specversion must be said"),
        ({"id": None}, "id must be said"),
        ({"id": None, "specversion": None}, "specversion and id"),
        ({"specversion": "0.3"}, "specversion"),
        ({"id": ""}, "id"),
        ({"id": "x" * 1025}, "id"),
        ({"source": None}, "source"),
        ({"type": None}, "type"),
        ({"type": 5}, "type"),
        ({"data": None}, "data"),
        ({"data": []}, "data"),
        ({"data": "{}"}, "data"),
        ({"time": "2026-01-31T12:00:00"}, "time: is an instant without an offset"),
        ({"time": "yesterday"}, "time"),
        ({"time": 1767225600}, "time: is a number"),
        ({"attempt": -1}, "attempt"),
        ({"attempt": 10**9}, "attempt"),
        ({"attempt": "many"}, "attempt"),
        ({"firstenqueued": 0}, "firstenqueued"),
        ({"history": []}, "history"),
        ({"subject": 5}, "subject"),
    ],
)
def test_what_is_no_cloudevent_is_refused_naming_the_attribute(changes: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidMessage, match=says):
        parse_event(captured_as("cmms_asset_upserted", **changes))


@pytest.mark.parametrize(
    "kind",
    [
        "energy.order.upserted",
        "energy.asset.dirty",
        "sync.asset.upserted",
        "energy.asset",
        "",
        "x",
        "energy.asset.upserted\n",
    ],
)
def test_a_type_that_the_queue_does_not_take_is_refused_naming_those_it_takes(kind: str) -> None:
    event = Event.model_construct(specversion="1.0", id="1", source="/x", type=kind, data={"key": "1"})
    with pytest.raises(InvalidMessage, match=r"energy\.asset\.upserted"):
        event.payload(ASSET)


@pytest.mark.parametrize(
    ("kind", "data", "says"),
    [
        ("energy.asset.upserted", {"key": ""}, "key"),
        ("energy.asset.upserted", {"key": 1}, "key"),
        ("energy.asset.upserted", {"key": "1", "version": 5}, "version: is a number"),
        ("energy.asset.upserted", {"key": "1", "version": "2026-01-31"}, "version"),
        ("energy.asset.upserted", {"key": "1", "sequence": -1}, "sequence"),
        ("energy.asset.upserted", {"key": "1", "fields": []}, "fields"),
        ("energy.asset.upserted", {"key": "1", "origin": "robot"}, "origin"),
        ("energy.asset.deleted", {}, "key"),
        ("energy.asset.renamed", {"key": "2"}, "old_key"),
        ("sync.asset.dirty", {}, "names no record"),
        ("sync.asset.dirty", {"record_id": "1"}, "record_id"),
        ("sync.asset.dirty", {"key": "1", "operation": "drop"}, "operation"),
    ],
)
def test_data_of_the_wrong_shape_is_refused_naming_the_member(kind: str, data: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidMessage, match=says):
        parse_event(captured_as("cmms_asset_upserted", type=kind, data=data)).payload(ASSET)


@pytest.mark.parametrize("where", ["attempt", "deferrals", "data.sequence"])
def test_a_number_that_would_fill_all_memory_is_refused_at_once(where: str) -> None:
    # Written out as a whole number this has 301 million digits.
    data, _, member = where.rpartition(".")
    number = f'"{member}": 1e300999999'
    body = f"""{{"specversion": "1.0", "id": "1", "source": "/t", "type": "energy.asset.upserted",
        {"" if data else number + ","} "data": {{"key": "A", "fields": {{}} {"," + number if data else ""}}}}}"""
    with pytest.raises(InvalidMessage, match=member):
        parse_event(body.encode()).payload(ASSET)


def test_a_refusal_never_shows_a_value() -> None:
    wrong = {"key": "1", "version": "s3cr3t", "sequence": "s3cr3t", "origin": "s3cr3t", "fields": "s3cr3t"}
    with pytest.raises(InvalidMessage) as refused:
        upserted(**wrong)
    assert "s3cr3t" not in refused.value.message
    with pytest.raises(InvalidMessage) as refused:
        parse_event(captured_as("cmms_asset_upserted", specversion="s3cr3t", time="s3cr3t", attempt="s3cr3t"))
    assert "s3cr3t" not in refused.value.message


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=200, deadline=None)
def test_any_body_is_read_or_refused_as_an_invalid_message(body: bytes) -> None:
    # A refusal is an InvalidMessage and nothing else: any other exception fails the test.
    with contextlib.suppress(InvalidMessage):
        parse_event(body)


@given(st.dictionaries(st.sampled_from([*Event.model_fields, "x"]), JSON), st.sampled_from(list(DATA)))
@settings(max_examples=200, deadline=None)
def test_any_attributes_are_read_or_refused_and_a_copy_can_always_be_written(attributes: Any, kind: str) -> None:
    prefix = "sync" if kind == "dirty" else "energy"
    known = json.loads(captured("cmms_asset_upserted")) | {"type": f"{prefix}.asset.{kind}"}
    with contextlib.suppress(InvalidMessage):
        event = parse_event(json.dumps(known | attributes))
        # Not the events themselves: an extension that is null is one that is absent.
        assert parse_event(event.to_json()).to_json() == event.to_json()
        event.payload(ASSET)


@given(
    st.sampled_from(sorted(DATA)), JSON.flatmap(lambda v: st.fixed_dictionaries({"key": JSON, "fields": st.just(v)}))
)
@settings(max_examples=100, deadline=None)
def test_any_data_is_read_or_refused(kind: str, data: dict[str, Any]) -> None:
    prefix = "sync" if kind == "dirty" else "energy"
    with contextlib.suppress(InvalidMessage):
        parse_event(captured_as("cmms_asset_upserted", type=f"{prefix}.asset.{kind}", data=data)).payload(ASSET)
