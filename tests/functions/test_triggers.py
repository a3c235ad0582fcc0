"""The other functions: what they hand on, and what they answer."""

import json
import logging
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from http import HTTPStatus
from types import ModuleType, SimpleNamespace
from typing import Any, override

import azure.functions as func
import pytest

from functions import assets, health, orders, reconcile
from shared.errors import ConfigurationError, RoutingFailed, Unavailable
from shared.settings import Settings, load_settings, setting_name
from shared.wiring import Wiring
from tests.fakes import FakeWiring, captured, captured_as


class Batches:
    """Takes the engine's place: keeps the batches, or fails."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.seen: list[tuple[str, list[bytes]]] = []
        self._failure = failure

    async def handle(self, entity: str, bodies: Sequence[bytes]) -> None:
        if self._failure is not None:
            raise self._failure
        self.seen.append((entity, list(bodies)))


class Message(func.ServiceBusMessage):
    """A message of which only the body may be looked at: the host can misplace or overwrite the rest."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    @override
    def get_body(self) -> bytes:
        return self._body


BODIES = [captured("cmms_asset_upserted"), b"", b"\xff\x00"]


@pytest.mark.parametrize(("module", "entity"), [(assets, "asset"), (orders, "order")])
async def test_a_batch_reaches_the_engine_byte_for_byte(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, entity: str
) -> None:
    batches = Batches()
    monkeypatch.setattr(module, "wiring", SimpleNamespace(handle=batches.handle))
    await getattr(module, f"{entity}s")([Message(body) for body in BODIES])
    assert batches.seen == [(entity, BODIES)]


@pytest.mark.parametrize("module", [assets, orders])
async def test_a_batch_is_given_back_to_the_broker_when_its_outcomes_could_not_be_written(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType
) -> None:
    monkeypatch.setattr(module, "wiring", SimpleNamespace(handle=Batches(RoutingFailed("no bus")).handle))
    with pytest.raises(RoutingFailed):
        await getattr(module, module.__name__.rpartition(".")[2])([Message(b"{}")])


@pytest.mark.parametrize("module", [assets, orders])
@pytest.mark.parametrize(
    ("failure", "says", "trace"),
    [
        (RoutingFailed("12 messages could not be sent to the queue parked."), "routing_failed: 12 messages", False),
        (ConfigurationError("SERVICE_BUS is missing"), "configuration_error: SERVICE_BUS is missing", False),
        (ZeroDivisionError("a fault"), "by a fault of ours", True),
    ],
)
async def test_why_an_invocation_failed_is_logged_before_it_fails(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    module: ModuleType,
    failure: Exception,
    says: str,
    trace: bool,
) -> None:
    name = module.__name__.rpartition(".")[2]
    monkeypatch.setattr(module, "wiring", SimpleNamespace(handle=Batches(failure).handle))
    with pytest.raises(type(failure)):
        await getattr(module, name)([Message(b"{}")])
    (record,) = [one for one in caplog.records if one.levelname == "ERROR"]
    assert f"The function {name} failed" in record.getMessage()
    assert says in record.getMessage()
    assert (record.exc_info is not None) == trace


class Misconfigured(FakeWiring):
    """The product's own wiring in an environment that lacks a setting."""

    @cached_property
    @override
    def settings(self) -> Settings:
        return load_settings()


@pytest.fixture
def misconfigured(monkeypatch: pytest.MonkeyPatch) -> Misconfigured:
    for field in Settings.model_fields:
        monkeypatch.delenv(setting_name(field), raising=False)
    monkeypatch.setenv("ServiceBusConnection__fullyQualifiedNamespace", "contoso.servicebus.windows.net")
    monkeypatch.setenv("SYNC_LEDGER", "sqlite:///never-opened.sqlite3")
    wiring = Misconfigured()
    monkeypatch.setattr(assets, "wiring", wiring)
    return wiring


async def test_while_a_setting_is_wrong_messages_wait_on_their_queue_and_one_line_of_the_log_says_why(
    misconfigured: Misconfigured, caplog: pytest.LogCaptureFixture
) -> None:
    await assets.assets([Message(captured("cmms_asset_upserted"))] * 3)
    waiting = misconfigured.bus.queues.pop("assets")
    assert misconfigured.bus.queues == {}
    assert all(one.scheduled_at is not None and one.scheduled_at > misconfigured.clock.now() for one in waiting)
    events = [json.loads(one.body) for one in waiting]
    assert [(event["attempt"], event["deferrals"]) for event in events] == [(0, 1)] * 3
    told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(told) == 1
    assert "DYNAMICS_365_RESOURCE_URL is missing" in told[0]


async def test_a_message_that_waited_a_day_for_a_setting_is_parked_with_what_is_wrong(
    misconfigured: Misconfigured,
) -> None:
    yesterday = (misconfigured.clock.now() - timedelta(hours=25)).isoformat()
    await assets.assets([Message(captured_as("cmms_asset_upserted", firstenqueued=yesterday)), Message(b"no event")])
    parked = misconfigured.bus.queues.pop("parked")
    assert misconfigured.bus.queues == {}
    assert [one.properties["reason"] for one in parked] == ["configuration_error", "invalid_message"]
    assert "DYNAMICS_365_RESOURCE_URL is missing" in str(parked[0].properties["message"])


async def test_a_wrong_mapping_makes_messages_wait_too(monkeypatch: pytest.MonkeyPatch) -> None:
    wiring = FakeWiring(sync_mapping="/nowhere/mapping.toml")
    monkeypatch.setattr(orders, "wiring", wiring)
    await orders.orders([Message(captured("cmms_order_deleted"))])
    assert [one.scheduled_at is not None for one in wiring.bus.queues["orders"]] == [True]


async def test_the_queues_can_be_reached_while_other_settings_are_wrong(misconfigured: Misconfigured) -> None:
    wiring = Wiring()
    assert type(wiring.bus).__name__ == "ServiceBus"
    await wiring.aclose()


async def test_without_a_way_to_the_queues_the_broker_gets_the_batch_back(
    misconfigured: Misconfigured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "wiring", Wiring())
    monkeypatch.delenv("ServiceBusConnection__fullyQualifiedNamespace")
    with pytest.raises(ConfigurationError, match="ServiceBusConnection__fullyQualifiedNamespace is missing"):
        await assets.assets([Message(b"{}")])


def timer(*, past_due: bool = False) -> func.TimerRequest:
    return SimpleNamespace(past_due=past_due)  # type: ignore[return-value]


class Runs:
    """Takes the reconciler's place."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.count = 0
        self._failure = failure

    async def run(self) -> Any:
        self.count += 1
        if self._failure is not None:
            raise self._failure
        return SimpleNamespace(run="r-1", kind="full", drifted=4, repairs=3, pending=1, seconds=2.0)


async def test_the_timer_runs_once_and_logs_what_it_found(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    runs = Runs()
    monkeypatch.setattr(reconcile, "wiring", SimpleNamespace(reconciler=runs))
    await reconcile.reconcile(timer(past_due=True))
    assert runs.count == 1
    assert "starts late" in caplog.text
    assert "3 repairs" in caplog.text


async def test_an_outage_ends_the_run_without_failing_the_function(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reconcile, "wiring", SimpleNamespace(reconciler=Runs(Unavailable("Dynamics is away."))))
    await reconcile.reconcile(timer())
    assert "Dynamics is away." in caplog.text


async def test_a_misconfiguration_fails_the_function_where_an_operator_sees_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reconcile, "wiring", SimpleNamespace(reconciler=Runs(ConfigurationError("SYNC_LEDGER"))))
    with pytest.raises(ConfigurationError):
        await reconcile.reconcile(timer())
    assert "The function reconcile failed: configuration_error: SYNC_LEDGER" in caplog.text


async def ask_health(monkeypatch: pytest.MonkeyPatch, parts: FakeWiring) -> tuple[int, dict[str, Any]]:
    monkeypatch.setattr(health, "wiring", parts)
    response: func.HttpResponse = await health.health(func.HttpRequest("GET", "http://localhost/api/health", body=b""))
    assert response.mimetype == "application/json"
    return response.status_code, json.loads(response.get_body())


@pytest.mark.parametrize(
    ("settings", "mode"),
    [({}, "one-way"), ({"cmms_base_url": "https://cmms.example", "cmms_token": "t"}, "two-way")],
)
async def test_health_tells_the_mode_and_the_entities(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, object], mode: str
) -> None:
    answer = await ask_health(monkeypatch, FakeWiring(**settings))
    assert answer == (HTTPStatus.OK, {"status": "ok", "mode": mode, "entities": ["asset", "order"]})


async def test_health_tells_that_something_is_misconfigured_and_the_log_tells_what(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    status, body = await ask_health(monkeypatch, FakeWiring(sync_mapping="/nowhere/mapping.toml"))
    assert (status, body["status"]) == (HTTPStatus.SERVICE_UNAVAILABLE, "misconfigured")
    assert body == {"status": "misconfigured"}
    assert "/nowhere/mapping.toml" in caplog.text
