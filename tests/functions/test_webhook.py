"""What Dynamics and its impostors are answered."""

import hmac
import json
import logging
from http import HTTPStatus
from typing import Any
from uuid import UUID

import pytest

from functions import webhook as webhook_module
from shared.domain.messages.events import parse_event
from shared.errors import ConfigurationError, Throttled, Unavailable
from tests.fakes import ORGANIZATION, PREVIOUS_SECRET, SECRET, FakeWiring, captured, captured_as
from tests.functions.calling import KEY_HEADER, call, content, keyed, outcome, sign, signed

DOCUMENT = ["document_order_created", "document_asset_updated"]
NATIVE = ["native_create", "native_update", "native_delete", "native_cut_at_256_kb", "native_synchronous"]
BODY = captured("document_asset_updated")
REFUSED = (HTTPStatus.FORBIDDEN, {"error": "Invalid signature"})


def only_message(wiring: FakeWiring, queue: str) -> Any:
    assert wiring.bus.sent == 1
    return wiring.bus.queues[queue][0]


# Accepting


@pytest.mark.parametrize("name", DOCUMENT)
async def test_a_signed_body_of_the_document_is_accepted(wiring: FakeWiring, name: str) -> None:
    body = captured(name)
    status, answer = outcome(await call(body, signed(body)))
    assert status == HTTPStatus.ACCEPTED
    message = only_message(wiring, "orders" if "order" in name else "assets")
    assert answer == {"status": "accepted", "id": message.message_id}


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("kind", ["header", "code"])
async def test_a_native_body_is_accepted_by_header_key_and_by_code(wiring: FakeWiring, name: str, kind: str) -> None:
    if kind == "header":
        response = await call(captured(name), keyed())
    else:
        response = await call(captured(name), params={"code": SECRET})
    status, answer = outcome(response)
    assert (status, answer["status"]) == (HTTPStatus.ACCEPTED, "accepted")
    assert wiring.bus.sent == 1


async def test_the_message_names_the_record_and_carries_the_trace(wiring: FakeWiring) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await call(captured("native_update"), {**keyed(), "traceparent": trace})
    event = parse_event(only_message(wiring, "assets").body)
    assert event.type == "sync.asset.dirty"
    assert event.source == f"/dynamics-365/{ORGANIZATION}"
    assert event.traceparent == trace
    assert event.firstenqueued == wiring.clock.now()
    assert event.data["record_id"] == "1d2c3b4a-5f6e-4d7c-8b9a-0e1f2a3b4c5d"
    assert event.data["operation"] == "update"


async def test_an_accepted_webhook_leaves_a_line_of_log_for_debugging_only(
    wiring: FakeWiring, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "shared")
    await call(captured("native_update"), keyed())
    ours = [(record.levelno, record.getMessage()) for record in caplog.records if record.name.startswith("shared")]
    name = only_message(wiring, "assets").message_id
    assert ours == [(logging.DEBUG, f"Accepted a webhook: webhook Update of asset as {name}")]


@pytest.mark.parametrize("trace", ["", "00-short", "\ud800", "x" * 5000])
async def test_a_malformed_trace_is_dropped_not_passed_on(wiring: FakeWiring, trace: str) -> None:
    await call(captured("native_update"), {**keyed(), "traceparent": trace})
    assert parse_event(only_message(wiring, "assets").body).traceparent is None


async def test_a_full_payload_just_under_the_limit_is_accepted(wiring: FakeWiring) -> None:
    body = captured("document_asset_updated")
    padded = body + b" " * (1024 * 1024 - len(body))
    assert (await call(padded, signed(padded))).status_code == HTTPStatus.ACCEPTED


@pytest.mark.parametrize("secret", [SECRET, PREVIOUS_SECRET])
async def test_both_live_secrets_open_every_door(wiring: FakeWiring, secret: str) -> None:
    answers = [
        await call(BODY, signed(BODY, secret)),
        await call(BODY, keyed(secret)),
        await call(BODY, params={"code": secret}),
    ]
    assert [answer.status_code for answer in answers] == [HTTPStatus.ACCEPTED] * 3


async def test_uppercase_hex_is_the_same_signature(wiring: FakeWiring) -> None:
    assert (await call(BODY, {"X-MS-SIGNATURE": sign(BODY).upper()})).status_code == HTTPStatus.ACCEPTED


async def test_the_same_native_notification_twice_gets_one_message_id(wiring: FakeWiring) -> None:
    first, second = [content(await call(captured("native_update"), keyed()))["id"] for _ in range(2)]
    assert first == second


@pytest.mark.parametrize("name", ["native_synchronous", *DOCUMENT])
async def test_without_an_operation_id_every_notification_is_its_own(wiring: FakeWiring, name: str) -> None:
    first, second = [content(await call(captured(name), keyed()))["id"] for _ in range(2)]
    assert first != second


@pytest.mark.parametrize(
    "change",
    [
        {"OperationId": "00000000-0000-4000-8000-000000000001"},
        {"PrimaryEntityId": "00000000-0000-4000-8000-000000000002"},
        {"MessageName": "Delete"},
        {"OwningExtension": {"Id": "00000000-0000-4000-8000-000000000003"}},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_each_part_of_an_operations_identity_tells_messages_apart(
    wiring: FakeWiring, change: dict[str, Any]
) -> None:
    first = content(await call(captured("native_update"), keyed()))["id"]
    assert content(await call(captured_as("native_update", **change), keyed()))["id"] != first


@pytest.mark.parametrize(
    "body",
    [
        b'{"eventType": "contact.updated", "data": {}}',
        b'{"eventType": "asset", "data": {}}',
        captured_as("native_update", PrimaryEntityName="contact"),
        captured_as("native_update", PrimaryEntityName="contact", MessageName="Associate"),
    ],
)
async def test_what_the_mapping_does_not_hold_is_ignored_and_logged(
    wiring: FakeWiring, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    assert outcome(await call(body, keyed())) == (HTTPStatus.ACCEPTED, {"status": "ignored"})
    assert wiring.bus.sent == 0
    assert "the mapping does not hold it" in caplog.text


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"eventType": "asset.archived", "data": {}}', "asset.archived"),
        (b'{"eventType": "salesorder.merged", "data": {}}', "salesorder.merged"),
        (captured_as("native_update", MessageName="Associate"), "'Associate' of 'msdyn_customerasset'"),
        (captured_as("native_update", MessageName="SetState"), "'SetState' of 'msdyn_customerasset'"),
        (captured_as("native_update", MessageName="update"), "'update' of 'msdyn_customerasset'"),
    ],
)
async def test_a_message_that_provision_does_not_register_is_ignored_with_a_warning(
    wiring: FakeWiring, caplog: pytest.LogCaptureFixture, body: bytes, named: str
) -> None:
    assert outcome(await call(body, keyed())) == (HTTPStatus.ACCEPTED, {"status": "ignored"})
    assert wiring.bus.sent == 0
    (record,) = [one for one in caplog.records if one.levelname == "WARNING"]
    assert named in record.getMessage()
    assert "'ops provision' registers no other message" in record.getMessage()


async def test_a_byte_order_mark_before_a_webhook_is_signed_and_skipped(wiring: FakeWiring) -> None:
    body = b"\xef\xbb\xbf" + captured("document_asset_updated")
    assert (await call(body, signed(body))).status_code == HTTPStatus.ACCEPTED
    assert (await call(body, signed(body[3:]))).status_code == HTTPStatus.FORBIDDEN


async def test_a_senders_text_cannot_forge_log_lines(wiring: FakeWiring, caplog: pytest.LogCaptureFixture) -> None:
    body = json.dumps({"eventType": "x\nERROR forged\u2028line", "data": {}}).encode()
    await call(body, keyed())
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().isprintable()


# Refusing, in this order: 405, 413, 403, 400, 503


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
async def test_other_methods_are_told_the_one_that_is_allowed(wiring: FakeWiring, method: str) -> None:
    response = await call(b"x" * 2_000_000, method=method)
    assert outcome(response) == (HTTPStatus.METHOD_NOT_ALLOWED, {"error": "Method not allowed"})
    assert response.headers["Allow"] == "POST"


async def test_a_body_over_a_mebibyte_is_refused_before_its_signature_is_looked_at(wiring: FakeWiring) -> None:
    body = b"x" * (1024 * 1024 + 1)
    assert (await call(body, {"X-MS-SIGNATURE": "wrong"})).status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert (await call(body, signed(body))).status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


WRONG_SIGNATURES = {
    "of another secret": sign(BODY, "some-other-secret-entirely"),
    "of another body": sign(BODY + b" "),
    "empty": "",
    "too short": sign(BODY)[:-1],
    "too long": sign(BODY) + "0",
    "not hex": "g" * 64,
    "not ASCII": "é" * 64,
    "lone surrogate": "\udcff\ud800",
    "doubled": f"{sign(BODY)},{sign(BODY)}",
    "prefixed": f"sha256={sign(BODY)}",
    "NUL": sign(BODY) + "\0",
    "the secret itself": SECRET,
}


@pytest.mark.parametrize("signature", WRONG_SIGNATURES.values(), ids=WRONG_SIGNATURES.keys())
async def test_a_wrong_signature_is_refused_even_beside_a_right_key(wiring: FakeWiring, signature: str) -> None:
    assert outcome(await call(BODY, {"X-MS-SIGNATURE": signature, **keyed()}, params={"code": SECRET})) == REFUSED
    assert wiring.bus.sent == 0


@pytest.mark.parametrize("key", ["", "no", SECRET[:-1], SECRET.upper(), f"{SECRET},{SECRET}", "clé", "\ud800"])
async def test_a_wrong_key_is_refused_in_the_header_and_in_the_code(wiring: FakeWiring, key: str) -> None:
    assert outcome(await call(captured("native_update"), keyed(key))) == REFUSED
    assert outcome(await call(captured("native_update"), params={"code": key})) == REFUSED
    assert wiring.bus.sent == 0


async def test_no_credentials_at_all_are_refused_before_the_body_is_read(wiring: FakeWiring) -> None:
    assert outcome(await call(b"not JSON")) == REFUSED


async def test_an_unset_previous_secret_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = FakeWiring(dynamics_365_webhook_secret_previous="")
    monkeypatch.setattr(webhook_module, "wiring", parts)
    assert outcome(await call(BODY, keyed(""))) == REFUSED
    assert outcome(await call(BODY, signed(BODY, ""))) == REFUSED
    assert outcome(await call(BODY, params={"code": ""})) == REFUSED


async def test_the_key_travels_in_the_header_that_the_settings_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_module, "wiring", FakeWiring(dynamics_365_webhook_header="X-Contoso"))
    assert outcome(await call(BODY, {KEY_HEADER: SECRET})) == REFUSED
    assert (await call(BODY, {"x-CONTOSO": SECRET})).status_code == HTTPStatus.ACCEPTED


async def test_every_comparison_with_a_secret_takes_constant_time(
    wiring: FakeWiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bytes] = []
    real = hmac.compare_digest

    def spy(expected: bytes, given: bytes) -> bool:
        compared.append(expected)
        return real(expected, given)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    await call(BODY, signed(BODY))
    # Both secrets are tried although the first fits: the time does not tell which one was right.
    assert compared == [sign(BODY).encode(), sign(BODY, PREVIOUS_SECRET).encode()]


BAD_BODIES = {
    "empty": (b"", "not JSON"),
    "not JSON": (b"hello", "not JSON"),
    "cut off": (BODY[:-5], "not JSON"),
    "UTF-16": (BODY.decode().encode("utf-16"), "not UTF-8"),
    "Latin-1": ('{"eventType": "asset.updated", "data": "ñ"}'.encode("latin-1"), "not UTF-8"),
    "NaN": (b'{"eventType": NaN}', "NaN"),
    "endless number": (b'{"eventType": 1e99999999999999999999}', "number"),
    "long integer": (b'{"eventType": ' + b"9" * 5000 + b"}", "number"),
    "deep": (b"[" * 100_000, "nested"),
    "a list": (b"[]", "not an object"),
    "a text": (b'"text"', "not an object"),
    "null": (b"null", "not an object"),
    "neither form": (b"{}", "neither eventType"),
    "doubled member": (b'{"eventType": "asset.updated", "eventType": "x", "data": {}}', "twice"),
    "eventType a number": (b'{"eventType": 5, "data": {}}', "eventType is a number"),
    "no data": (b'{"eventType": "asset.updated"}', "data is null"),
    "data a list": (b'{"eventType": "asset.updated", "data": []}', "data is a list"),
    "data names nothing": (b'{"eventType": "asset.updated", "data": {"nombre": "x"}}', "names no record"),
    "key a number": (b'{"eventType": "asset.updated", "data": {"msdyn_assetnumber": 1}}', "codigo_interno"),
    "key zero": (b'{"eventType": "asset.updated", "data": {"msdyn_assetnumber": 0}}', "codigo_interno"),
    "key with spaces": (b'{"eventType": "asset.updated", "data": {"msdyn_assetnumber": "1 "}}', "spaces"),
    "key half a pair": (b'{"eventType": "asset.updated", "data": {"msdyn_assetnumber": "\\ud800"}}', "unprintable"),
    "id no GUID": (b'{"eventType": "salesorder.created", "data": {"salesorderid": "1"}}', "salesorderid"),
    "id a list": (b'{"eventType": "salesorder.created", "data": {"salesorderid": []}}', "salesorderid"),
    "no table": (captured_as("native_update", PrimaryEntityName=None), "PrimaryEntityName"),
    "no message": (captured_as("native_update", MessageName=None), "MessageName"),
    "no record": (captured_as("native_update", PrimaryEntityId=None), "PrimaryEntityId"),
    "nil record": (captured_as("native_update", PrimaryEntityId=str(UUID(int=0))), "PrimaryEntityId"),
    "organization no GUID": (captured_as("native_update", OrganizationId="contoso"), "OrganizationId"),
    "operation no GUID": (captured_as("native_update", OperationId=7), "OperationId"),
    "step no GUID": (captured_as("native_update", OwningExtension={"Id": "\ud800"}), "Id is"),
}


@pytest.mark.parametrize(("body", "says"), BAD_BODIES.values(), ids=BAD_BODIES.keys())
async def test_a_body_of_the_wrong_shape_is_refused_naming_what(wiring: FakeWiring, body: bytes, says: str) -> None:
    status, answer = outcome(await call(body, keyed()))
    assert status == HTTPStatus.BAD_REQUEST
    assert says in answer["error"]
    assert wiring.bus.sent == 0


@pytest.mark.parametrize("table", ["msdyn_customerasset", "contact"])
async def test_another_organization_is_refused_by_name_even_for_tables_that_are_not_mapped(
    wiring: FakeWiring, table: str
) -> None:
    other = "ffffffff-3b4a-4c5d-8e9f-001122334455"
    body = captured_as("native_update", OrganizationId=other, PrimaryEntityName=table)
    status, answer = outcome(await call(body, keyed()))
    assert status == HTTPStatus.BAD_REQUEST
    assert other in answer["error"]
    assert wiring.bus.sent == 0


@pytest.mark.parametrize(
    "written",
    [
        "/Date(1767225600000)/",
        "/Date(1767225600000-0700)/",
        "/Date(1767225600000+0530)/",
        "2026-01-01T00:00:00Z",
        "2025-12-31T17:00:00-07:00",
    ],
)
async def test_every_way_to_write_the_instant_is_read_alike(wiring: FakeWiring, written: str) -> None:
    await call(captured_as("native_update", OperationCreatedOn=written), keyed())
    event = parse_event(only_message(wiring, "assets").body)
    assert event.time is not None
    assert event.time.isoformat() == "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize("written", ["yesterday", "/Date(x)/", "/Date(999999999999999)/", 5, None, []])
async def test_an_unreadable_instant_loses_no_notification(wiring: FakeWiring, written: object) -> None:
    await call(captured_as("native_update", OperationCreatedOn=written), keyed())
    assert parse_event(only_message(wiring, "assets").body).time == wiring.clock.now()


# Being unable


def assert_try_again(response: Any) -> None:
    assert outcome(response) == (HTTPStatus.SERVICE_UNAVAILABLE, {"error": "Try again later"})
    assert int(response.headers["Retry-After"]) > 0


async def test_an_unreachable_queue_asks_the_sender_to_come_again(wiring: FakeWiring) -> None:
    wiring.bus.failure = Unavailable("The queue assets took no message: ServiceBusConnectionError.")
    assert_try_again(await call(BODY, signed(BODY)))
    wiring.bus.failure = None
    assert (await call(BODY, signed(BODY))).status_code == HTTPStatus.ACCEPTED


@pytest.mark.parametrize("failure", [Unavailable("Dynamics did not answer."), Throttled("Slow down.")])
async def test_an_unanswered_whoami_asks_the_sender_to_come_again(
    wiring: FakeWiring, failure: Unavailable | Throttled
) -> None:
    wiring.whoami_failure = failure
    assert_try_again(await call(captured("native_update"), keyed()))
    assert wiring.bus.sent == 0


async def test_the_documents_form_does_not_ask_for_the_organization(wiring: FakeWiring) -> None:
    wiring.whoami_failure = Unavailable("Dynamics did not answer.")
    assert (await call(BODY, signed(BODY))).status_code == HTTPStatus.ACCEPTED


async def test_a_misconfigured_worker_asks_the_sender_to_come_again_and_says_why_in_its_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(webhook_module, "wiring", FakeWiring(sync_mapping="/nowhere/mapping.toml"))
    assert_try_again(await call(BODY, signed(BODY)))
    assert "/nowhere/mapping.toml" in caplog.text


async def test_missing_settings_are_no_500_either(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(FakeWiring):
        @property
        def settings(self) -> Any:
            raise ConfigurationError("SYNC_LEDGER is missing.")

    monkeypatch.setattr(webhook_module, "wiring", Broken())
    assert_try_again(await call(BODY, signed(BODY)))
    assert "SYNC_LEDGER is missing" in caplog.text


async def test_a_fault_of_ours_is_logged_with_its_trace_and_asks_the_sender_to_come_again(
    wiring: FakeWiring, caplog: pytest.LogCaptureFixture
) -> None:
    wiring.bus.failure = RuntimeError("a bug")
    assert_try_again(await call(BODY, signed(BODY)))
    assert caplog.records[-1].exc_info is not None


# Keeping secrets


async def test_no_secret_stands_in_any_answer_or_log_record(
    wiring: FakeWiring, caplog: pytest.LogCaptureFixture
) -> None:
    answers = [
        await call(body, headers, params=params)
        for body in [BODY, captured("native_update"), b"", b"\xff", *(body for body, _ in BAD_BODIES.values())]
        for headers in [{}, keyed(), keyed("wrong"), signed(body), signed(body, PREVIOUS_SECRET)]
        for params in [{}, {"code": SECRET}, {"code": PREVIOUS_SECRET}]
    ]
    wiring.bus.failure = Unavailable("no")
    answers.append(await call(BODY, signed(BODY)))
    shown = (
        caplog.text
        + "".join(f"{answer.get_body().decode()}{dict(answer.headers)}" for answer in answers)
        + "".join(repr(record.__dict__) for record in caplog.records)
    )
    assert {answer.status_code for answer in answers} == {202, 400, 403, 503}
    assert logging.getLogger(webhook_module.__name__).isEnabledFor(logging.DEBUG)
    for secret in (SECRET, PREVIOUS_SECRET, sign(BODY)):
        assert secret not in shown


async def test_the_message_on_the_queue_holds_no_secret(wiring: FakeWiring) -> None:
    await call(captured("native_update"), keyed(), params={"code": SECRET})
    message = only_message(wiring, "assets")
    assert SECRET not in str(message)
