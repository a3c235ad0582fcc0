"""Hostile requests: whatever arrives, the answer is one of the agreed ones, in JSON, and nothing is raised."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions import webhook as webhook_module
from tests.fakes import SECRET, FakeWiring, captured
from tests.functions.calling import KEY_HEADER, call, keyed, signed

ALLOWED = {202, 400, 403, 405, 413}
# Surrogates too: a header or a JSON escape may hold half a pair.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=80)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=8,
)
NAMES = ["MessageName", "PrimaryEntityName", "PrimaryEntityId", "OrganizationId", "OperationId", "OwningExtension"]
IDS = ["1d2c3b4a-5f6e-4d7c-8b9a-0e1f2a3b4c5d", "0f7c1d2e-3b4a-4c5d-8e9f-001122334455", "", "0001"]
WORDS = ["Update", "Create", "Delete", "salesorder", "msdyn_customerasset", "asset.updated", "salesorder.created"]
PLAUSIBLE = st.sampled_from([*WORDS, *IDS])
MEMBERS = st.dictionaries(
    st.sampled_from([*NAMES, "OperationCreatedOn", "eventType", "data"]),
    PLAUSIBLE
    | JSON
    | st.dictionaries(st.sampled_from(["Id", "id", "key", "name", "salesorderid", "codigo_interno"]), PLAUSIBLE | JSON),
    max_size=9,
)


@pytest.fixture(scope="module", autouse=True)
def wiring() -> Iterator[None]:
    with mock.patch.object(webhook_module, "wiring", FakeWiring()):
        yield


def ask(body: bytes, headers: dict[str, str], **more: Any) -> int:
    with asyncio.Runner() as runner:
        response = runner.run(call(body, headers, **more))
    status: int = response.status_code
    return status


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_any_bytes_from_an_authentic_sender_get_an_agreed_answer(body: bytes) -> None:
    assert ask(body, signed(body)) in ALLOWED
    assert ask(body, {"X-MS-SIGNATURE": body.decode("latin-1")}) == 403


@given(MEMBERS)
@settings(max_examples=150, deadline=None)
def test_any_members_in_either_form_get_an_agreed_answer(members: dict[str, Any]) -> None:
    assert ask(json.dumps(members).encode(), keyed()) in ALLOWED


@given(st.sampled_from(["native_update", "native_create", "document_order_created"]), st.data())
@settings(max_examples=150, deadline=None)
def test_a_captured_payload_damaged_anywhere_gets_an_agreed_answer(name: str, data: st.DataObject) -> None:
    body = bytearray(captured(name))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    assert ask(bytes(body), signed(bytes(body))) in ALLOWED


@given(st.dictionaries(st.sampled_from(["X-MS-SIGNATURE", KEY_HEADER, "traceparent"]) | ANY_TEXT, ANY_TEXT), ANY_TEXT)
@settings(max_examples=100, deadline=None)
def test_any_headers_and_code_are_refused_without_the_secret(headers: dict[str, str], code: str) -> None:
    if SECRET not in {code, *headers.values()}:
        assert ask(captured("native_update"), headers, params={"code": code}) == 403


@given(ANY_TEXT, ANY_TEXT)
@settings(max_examples=100, deadline=None)
def test_any_other_header_beside_the_right_key_changes_nothing(trace: str, other: str) -> None:
    headers = {**keyed(), "traceparent": trace, "x-ms-dynamics-msg-size-exceeded": other}
    assert ask(captured("native_update"), headers) == 202
