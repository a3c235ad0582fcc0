"""The product on the real worker runtime, over real HTTP and AMQP: what only a running host can show."""

import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from local.emulators.functions_host.tests.brokered import RunningBroker, running_broker
from local.emulators.functions_host.tests.running import ROOT, RunningHost, running, until
from local.emulators.servicebus import QueueSettings
from local.ports import Ports
from local.processes import Process
from shared.domain.messages import queues
from tests.fakes import ORGANIZATION, PREVIOUS_SECRET, SECRET, captured, captured_as
from tests.functions.calling import KEY_HEADER, keyed, sign, signed

DOCUMENT = captured("document_asset_updated")
NATIVE = captured("native_update")
PATH = "/api/dynamics/webhook"


@pytest.fixture(scope="module")
def broker_context() -> Iterator[tuple[ExitStack, RunningBroker]]:
    with ExitStack() as stack:
        settings = [
            QueueSettings(queue.name, queue.lock_duration, queue.max_delivery_count, queue.duplicate_window)
            for queue in queues.ALL
        ]
        yield stack, stack.enter_context(running_broker(settings))


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The managed identity endpoint, which gives tokens that Dynamics, being away, never sees."""
    folder = tmp_path_factory.mktemp("identity")
    port = Ports.free().identity
    config = folder / "identity.json"
    known = {"signing_key": "k" * 32, "identity_header": "local", "managed_identities": [{"client_id": "integration"}]}
    config.write_text(json.dumps(known), encoding="utf-8")
    process = Process(
        "identity",
        ["local.emulators.identity", "--port", str(port), "--config", str(config), "--exit-with-stdin"],
        environment=os.environ,
        log=folder / "identity.log",
        ready=r"\bready\b",
    )
    try:
        process.wait_ready(30)
        yield f"http://127.0.0.1:{port}/msi/token"
    finally:
        process.stop()


@pytest.fixture(scope="module")
def host(
    broker_context: tuple[ExitStack, RunningBroker], identity: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningHost]:
    _, broker = broker_context
    folder = tmp_path_factory.mktemp("host")
    with socket.socket() as unused:
        # Bound but not listening: whoever connects is refused, so that Dynamics is away for as long as this lasts.
        unused.bind(("127.0.0.1", 0))
        settings = {
            "DYNAMICS_365_RESOURCE_URL": f"http://127.0.0.1:{unused.getsockname()[1]}",
            "DYNAMICS_365_WEBHOOK_SECRET": SECRET,
            "DYNAMICS_365_WEBHOOK_SECRET_PREVIOUS": PREVIOUS_SECRET,
            "DYNAMICS_365_ORGANIZATION_ID": str(ORGANIZATION),
            "IDENTITY_ENDPOINT": identity,
            "IDENTITY_HEADER": "local",
            "AZURE_CLIENT_ID": "integration",
            "ServiceBusConnection": broker.connection_string,
            "SYNC_LEDGER": f"sqlite:///{folder}/ledger.sqlite3",
            "RECONCILE_SCHEDULE": "0 0 0 1 1 *",
            # The log tells all that it can, so that the test of what it must not hold looks at everything.
            "PYTHON_ENABLE_DEBUG_LOGGING": "1",
            "AzureFunctionsJobHost__logging__logLevel__default": "Debug",
        }
        with running(ROOT, folder, settings, ["--grace", "1"]) as started:
            yield started


def post(host: RunningHost, body: bytes, headers: Any = None, query: str = "") -> httpx.Response:
    return host.client.post(PATH + query, content=body, headers=headers or {})


def assert_json(response: httpx.Response, status: int, content: dict[str, str]) -> None:
    assert (response.status_code, response.json()) == (status, content)
    assert response.headers["Content-Type"].startswith("application/json")


@pytest.mark.parametrize(
    ("body", "headers", "query"),
    [
        (DOCUMENT, signed(DOCUMENT), ""),
        (DOCUMENT, signed(DOCUMENT, PREVIOUS_SECRET), ""),
        (NATIVE, keyed(), ""),
        (NATIVE, {}, f"?code={SECRET}"),
    ],
    ids=["signed", "signed before the rotation", "header key", "code"],
)
def test_an_authentic_notification_is_accepted(
    host: RunningHost, body: bytes, headers: dict[str, str], query: str
) -> None:
    response = post(host, body, headers, query)
    assert response.status_code == 202
    assert response.json()["status"] == "accepted"
    assert response.json()["id"]


def test_an_accepted_notification_waits_on_its_queue_while_dynamics_is_away(
    host: RunningHost, broker_context: tuple[ExitStack, RunningBroker]
) -> None:
    _, broker = broker_context
    body = captured("document_order_created")
    assert post(host, body, signed(body)).status_code == 202
    # The function has taken it, cannot reach Dynamics, and waits with it.
    until(lambda: "A batch waits for 5 s" in host.log, "the function waits", 30)
    assert broker.broker.counts("orders").locked == 1
    assert broker.dead("orders") == 0
    assert broker.broker.counts("parked").active == 0


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_are_refused_in_json(host: RunningHost, method: str) -> None:
    response = host.client.request(method, PATH)
    assert_json(response, 405, {"error": "Method not allowed"})
    assert response.headers["Allow"] == "POST"


def test_a_head_request_is_refused_without_a_body(host: RunningHost) -> None:
    response = host.client.head(PATH)
    assert (response.status_code, response.headers["Allow"], response.content) == (405, "POST", b"")


def test_two_mebibytes_are_refused(host: RunningHost) -> None:
    assert_json(post(host, b"x" * 2_097_152), 413, {"error": "Body over 1 MiB"})


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("X-MS-SIGNATURE", "")],
        [("X-MS-SIGNATURE", "0" * 64)],
        [("X-MS-SIGNATURE", sign(DOCUMENT)), ("X-MS-SIGNATURE", sign(DOCUMENT))],
        [("X-MS-SIGNATURE", sign(DOCUMENT)), ("x-ms-signature", "0" * 64)],
        [("X-MS-SIGNATURE", "ñ".encode())],
        [(KEY_HEADER, SECRET), (KEY_HEADER, SECRET)],
        [(KEY_HEADER, SECRET), ("X-MS-SIGNATURE", "0" * 64)],
    ],
    ids=["none", "empty", "wrong", "doubled", "right and wrong", "not ASCII", "key doubled", "key and wrong signature"],
)
def test_a_request_without_right_credentials_is_refused(host: RunningHost, headers: list[tuple[str, Any]]) -> None:
    assert_json(post(host, DOCUMENT, headers), 403, {"error": "Invalid signature"})


@pytest.mark.parametrize("query", ["?code=", "?code=wrong", f"?code={SECRET}&code={SECRET}", "?code=%ff%00"])
def test_a_wrong_code_is_refused(host: RunningHost, query: str) -> None:
    assert_json(post(host, NATIVE, query=query), 403, {"error": "Invalid signature"})


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"{}", "neither eventType"),
        (captured_as("native_update", OrganizationId="ffffffff-3b4a-4c5d-8e9f-001122334455"), "ffffffff-3b4a"),
    ],
    ids=["empty", "not UTF-8", "neither form", "another organization"],
)
def test_an_authentic_body_of_the_wrong_shape_is_refused_naming_what(host: RunningHost, body: bytes, says: str) -> None:
    response = post(host, body, signed(body))
    assert response.status_code == 400
    assert says in response.json()["error"]


def test_what_is_not_mapped_is_ignored(host: RunningHost) -> None:
    body = b'{"eventType": "contact.updated", "data": {}}'
    assert_json(post(host, body, signed(body)), 202, {"status": "ignored"})


def test_health_is_open_to_all_and_names_no_secret(host: RunningHost) -> None:
    response = host.client.get("/api/health")
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "mode": "one-way", "entities": ["asset", "order"]}


# The last two look at what the others left behind, and then take the queue away.


def test_the_log_holds_no_secret_and_no_failed_invocation(host: RunningHost) -> None:
    assert "Accepted a webhook" in host.log
    assert SECRET not in host.log
    assert PREVIOUS_SECRET not in host.log
    assert sign(DOCUMENT) not in host.log
    assert not re.search(r"Executed 'Functions\.\w+' \(Failed|Traceback", host.log)


def test_without_its_queue_the_webhook_asks_to_be_called_again(
    host: RunningHost, broker_context: tuple[ExitStack, RunningBroker]
) -> None:
    stack, _ = broker_context
    stack.close()
    response = post(host, DOCUMENT, signed(DOCUMENT))
    assert_json(response, 503, {"error": "Try again later"})
    assert int(response.headers["Retry-After"]) > 0
