"""What the host sees of the app: the exact functions, bindings and limits."""

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.domain.messages import queues

ROOT = Path(__file__).parents[2]
INDEX = """
import json
from function_app import app
print(json.dumps([
    [f.get_function_name(), [json.loads(binding) for binding in f.get_raw_bindings()]] for f in app.get_functions()
]))
"""
EVERY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]


@pytest.fixture(scope="module")
def index() -> list[tuple[str, list[dict[str, Any]]]]:
    # A process of its own and without any setting: indexing must not need them.
    return [(name, bindings) for name, bindings in json.loads(run(INDEX))]


def run(code: str) -> str:
    done = subprocess.run(  # noqa: S603  # our own interpreter and code
        [sys.executable, "-c", code], cwd=ROOT, env={}, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


def http(route: str, methods: list[str]) -> list[dict[str, Any]]:
    trigger = {"type": "httpTrigger", "direction": "IN", "name": "req", "authLevel": "ANONYMOUS"}
    return [trigger | {"route": route, "methods": methods}, {"type": "http", "direction": "OUT", "name": "$return"}]


def queue(name: str) -> list[dict[str, Any]]:
    # As bytes: a text binding would decode the bodies, and drop the empty ones.
    trigger = {"type": "serviceBusTrigger", "direction": "IN", "name": "messages", "cardinality": "MANY"}
    return [trigger | {"queueName": name, "connection": "ServiceBusConnection", "dataType": "BINARY"}]


def test_exactly_these_functions_are_indexed_in_the_order_of_the_flow(
    index: list[tuple[str, list[dict[str, Any]]]],
) -> None:
    timer = {"type": "timerTrigger", "direction": "IN", "name": "timer", "runOnStartup": False}
    assert index == [
        ("webhook", http("dynamics/webhook", EVERY_METHOD)),
        ("assets", queue(queues.ASSETS.name)),
        ("orders", queue(queues.ORDERS.name)),
        ("reconcile", [timer | {"schedule": "%RECONCILE_SCHEDULE%"}]),
        ("backup", [timer | {"schedule": "0 30 2 * * *"}]),
        ("health", http("health", ["GET"])),
    ]


def test_importing_the_app_loads_no_sdk_that_only_some_invocations_need() -> None:
    heavy = ["azure.identity", "azure.servicebus", "azure.data", "aiohttp", "django", "local", "ops", "cmms"]
    code = f"import sys, function_app; print([name for name in {heavy!r} if name in sys.modules])"
    assert run(code).strip() == "[]"


@pytest.fixture(scope="module")
def host_json() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))
    return found


def test_a_function_may_run_for_the_documents_half_hour(host_json: dict[str, Any]) -> None:
    assert host_json["functionTimeout"] == "00:30:00"


def test_batches_are_large_settled_by_the_host_and_never_prefetched(host_json: dict[str, Any]) -> None:
    service_bus = host_json["extensions"]["serviceBus"]
    assert service_bus["maxMessageBatchSize"] == 1000
    assert service_bus["minMessageBatchSize"] == 1
    assert service_bus["autoCompleteMessages"] is True
    # Prefetched messages wait with their locks running.
    assert service_bus["prefetchCount"] == 0


def test_the_webhooks_address_is_the_documented_one(host_json: dict[str, Any]) -> None:
    assert host_json["extensions"]["http"]["routePrefix"] == "api"


def test_a_lock_lasts_as_long_as_service_bus_allows_because_batches_cannot_renew_theirs() -> None:
    assert {q.lock_duration for q in queues.ALL} == {timedelta(minutes=5)}


def test_parked_messages_neither_expire_nor_swallow_each_other() -> None:
    assert queues.PARKED.time_to_live is None
    assert queues.PARKED.duplicate_window is None
