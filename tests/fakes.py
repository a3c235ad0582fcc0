"""Stand-ins for what the flows need of the world, in memory."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, override
from uuid import UUID

from shared.adapters.ledger import SqliteLedger
from shared.domain.schema.mapping import Mapping
from shared.errors import SyncError
from shared.flows.ports.engine import Outgoing
from shared.settings import DOCUMENT_MAPPING, Settings
from shared.wiring import Wiring, load_mapping

EVENTS = Path(__file__).parent / "events"
ORGANIZATION = UUID("0f7c1d2e-3b4a-4c5d-8e9f-001122334455")
SECRET = "a-live-secret-of-this-test"
PREVIOUS_SECRET = "the-secret-before-that-one"


class FakeClock:
    """Time that moves only when told."""

    def __init__(self, start: datetime = datetime(2026, 1, 31, 12, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        self.advance(timedelta(seconds=seconds))

    def advance(self, by: timedelta) -> None:
        self._now += by
        self._monotonic += by.total_seconds()


class FakeBus:
    """Keeps what is sent, by queue; `failure`, once set, is raised instead and nothing is kept."""

    def __init__(self) -> None:
        self.queues: dict[str, list[Outgoing]] = {}
        self.failure: Exception | None = None

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        if self.failure is not None:
            raise self.failure
        self.queues.setdefault(queue, []).extend(messages)

    @property
    def sent(self) -> int:
        return sum(map(len, self.queues.values()))


class FakeWiring(Wiring):
    """The product's own wiring over a bus, a clock and a ledger in memory; nothing is on the network."""

    def __init__(self, **settings: object) -> None:
        self._given = settings
        self.whoami_failure: SyncError | None = None
        self.whoami_calls = 0

    @cached_property
    @override
    def settings(self) -> Settings:
        return make_settings(**self._given)

    @cached_property
    @override
    def bus(self) -> FakeBus:
        return FakeBus()

    @cached_property
    @override
    def clock(self) -> FakeClock:
        return FakeClock()

    @cached_property
    @override
    def ledger(self) -> SqliteLedger:
        return SqliteLedger(":memory:")

    @override
    async def organization_id(self) -> UUID:
        self.whoami_calls += 1
        if self.whoami_failure is not None:
            raise self.whoami_failure
        return ORGANIZATION


def make_settings(**overrides: object) -> Settings:
    """Complete settings; `overrides` by field name."""
    complete: dict[str, Any] = {
        "dynamics_365_resource_url": "https://contoso.crm.dynamics.com",
        "dynamics_365_webhook_secret": SECRET,
        "dynamics_365_webhook_secret_previous": PREVIOUS_SECRET,
        "service_bus_namespace": "contoso.servicebus.windows.net",
        "sync_ledger": "sqlite:///never-opened.sqlite3",
    }
    return Settings(**(complete | overrides))


def document_mapping() -> Mapping:
    """The customer's field table."""
    return load_mapping(DOCUMENT_MAPPING)


def captured(name: str) -> bytes:
    """A captured payload of tests/events, byte for byte."""
    return (EVENTS / f"{name}.json").read_bytes()


def captured_as(name: str, **members: object) -> bytes:
    """A captured payload with members changed; None removes one."""
    body = json.loads(captured(name)) | members
    return json.dumps({key: value for key, value in body.items() if value is not None}).encode()
