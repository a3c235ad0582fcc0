"""The other functions: what they hand on, and what they answer."""

import json
import logging
from collections.abc import Sequence
from http import HTTPStatus
from types import ModuleType, SimpleNamespace
from typing import Any, override

import azure.functions as func
import pytest

from functions import assets, health, orders, reconcile
from shared.errors import ConfigurationError, RoutingFailed, Unavailable
from tests.fakes import FakeWiring, captured


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
    monkeypatch.setattr(module, "wiring", SimpleNamespace(sync=batches))
    await getattr(module, f"{entity}s")([Message(body) for body in BODIES])
    assert batches.seen == [(entity, BODIES)]


@pytest.mark.parametrize("module", [assets, orders])
async def test_a_batch_is_given_back_to_the_broker_when_its_outcomes_could_not_be_written(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType
) -> None:
    monkeypatch.setattr(module, "wiring", SimpleNamespace(sync=Batches(RoutingFailed("no bus"))))
    with pytest.raises(RoutingFailed):
        await getattr(module, module.__name__.rpartition(".")[2])([Message(b"{}")])


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
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconcile, "wiring", SimpleNamespace(reconciler=Runs(ConfigurationError("SYNC_LEDGER"))))
    with pytest.raises(ConfigurationError):
        await reconcile.reconcile(timer())


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
