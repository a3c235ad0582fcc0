"""What is read from a webhook's body, and who is believed. The answers over HTTP: tests/functions/test_webhook.py."""

import contextlib
import hashlib
import hmac
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.messages.webhook import Ignored, Notification, authentic, parse_notification
from shared.errors import InvalidMessage
from tests.fakes import ORGANIZATION, captured, captured_as, document_mapping

MAPPING = document_mapping()
ASSET_ID = UUID("1d2c3b4a-5f6e-4d7c-8b9a-0e1f2a3b4c5d")
ORDER_ID = UUID("2e3d4c5b-6a7f-4e8d-9cab-1f2a3b4c5d6e")
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def read(name: str) -> Notification:
    found = parse_notification(captured(name), MAPPING)
    assert isinstance(found, Notification)
    return found


@pytest.mark.parametrize(
    ("name", "entity", "operation", "record_id"),
    [
        ("native_create", "order", "create", ORDER_ID),
        ("native_update", "asset", "update", ASSET_ID),
        ("native_delete", "asset", "delete", ASSET_ID),
        ("native_cut_at_256_kb", "order", "update", ORDER_ID),
        ("native_synchronous", "order", "update", ORDER_ID),
    ],
)
def test_a_native_body_names_its_record_by_id_only(name: str, entity: str, operation: str, record_id: UUID) -> None:
    found = read(name)
    assert found.entity.name == entity
    assert (found.data.operation, found.data.record_id, found.data.key) == (operation, record_id, None)
    assert (found.organization_id, found.occurred_at) == (ORGANIZATION, NEW_YEAR)
    assert (found.message_id is None) == (name == "native_synchronous")


def test_the_documents_order_is_named_by_id_and_key() -> None:
    found = read("document_order_created")
    assert (found.entity.name, found.data.operation) == ("order", "create")
    assert (found.data.record_id, found.data.key) == (ORDER_ID, "REQ-VENTAS-001-2026")
    assert (found.organization_id, found.message_id) == (None, None)


def test_the_documents_asset_is_named_by_key_alone() -> None:
    found = read("document_asset_updated")
    assert (found.entity.name, found.data.operation) == ("asset", "update")
    assert (found.data.record_id, found.data.key) == (None, "0001")


@pytest.mark.parametrize("name", ["msdyn_assetnumber", "codigo_interno", "key"])
def test_the_key_goes_by_the_names_of_both_sides(name: str) -> None:
    found = parse_notification(captured_as("document_asset_updated", data={name: "0001"}), MAPPING)
    assert isinstance(found, Notification)
    assert found.data.key == "0001"


@pytest.mark.parametrize("key", [" 0001", "0001 ", "x" * 51, "a\nb", 17, True, [], {}])
def test_the_documents_record_is_taken_by_its_id_where_its_key_cannot_be_used(key: object) -> None:
    data = {"msdyn_customerassetid": str(ASSET_ID), "msdyn_assetnumber": key}
    found = parse_notification(captured_as("document_asset_updated", data=data), MAPPING)
    assert isinstance(found, Notification)
    assert (found.data.record_id, found.data.key) == (ASSET_ID, None)
    with pytest.raises(InvalidMessage, match="codigo_interno"):
        parse_notification(captured_as("document_asset_updated", data={"msdyn_assetnumber": key}), MAPPING)


@pytest.mark.parametrize("wrong", ["0001", str(UUID(int=0)), 5])
def test_a_usable_key_does_not_make_up_for_a_wrong_id(wrong: object) -> None:
    data = {"msdyn_customerassetid": wrong, "msdyn_assetnumber": "0001"}
    with pytest.raises(InvalidMessage, match="msdyn_customerassetid"):
        parse_notification(captured_as("document_asset_updated", data=data), MAPPING)


@pytest.mark.parametrize("kind", ["salesorder.created", "order.created", "order.updated", "salesorder.deleted"])
def test_an_entity_goes_by_its_own_name_and_by_its_tables(kind: str) -> None:
    found = parse_notification(captured_as("document_order_created", eventType=kind), MAPPING)
    assert isinstance(found, Notification)
    assert found.entity.name == "order"


def test_what_is_ignored_still_tells_its_organization() -> None:
    found = parse_notification(captured_as("native_update", PrimaryEntityName="contact"), MAPPING)
    assert found == Ignored("'Update' of 'contact'", ORGANIZATION)


SECRETS = st.text(min_size=16, max_size=40)
BODIES = st.binary(max_size=60)


def signature(secret: str, body: bytes) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@given(SECRETS, SECRETS, BODIES, st.booleans())
def test_a_right_signature_under_either_secret_is_believed(one: str, two: str, body: bytes, first: bool) -> None:
    headers = {"x-ms-signature": signature(one if first else two, body)}
    assert authentic((one, two), body, headers, {}, "x-webhook-key")


@given(SECRETS, BODIES, BODIES, SECRETS)
def test_a_signature_of_another_body_or_secret_is_not(secret: str, body: bytes, other: bytes, wrong: str) -> None:
    if body != other:
        assert not authentic((secret,), body, {"X-MS-SIGNATURE": signature(secret, other)}, {}, "k")
    if secret != wrong:
        assert not authentic((secret,), body, {"X-MS-SIGNATURE": signature(wrong, body)}, {}, "k")


@given(SECRETS, st.text(st.characters(exclude_categories=()), max_size=80))
def test_any_given_text_is_compared_without_stumbling(secret: str, given_text: str) -> None:
    for headers, query in [({"k": given_text}, {}), ({}, {"code": given_text})]:
        assert authentic((secret,), b"", headers, query, "k") == (given_text == secret)


def test_nobody_is_believed_while_there_is_no_secret() -> None:
    assert not authentic((), b"", {"k": "", "x-ms-signature": signature("", b"")}, {"code": ""}, "k")
    assert not authentic((), b"", {"k": ""}, {"code": ""}, "k")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_as_an_invalid_message(body: bytes) -> None:
    # A refusal is an InvalidMessage and nothing else: any other exception fails the test.
    with contextlib.suppress(InvalidMessage):
        parse_notification(body, MAPPING)
