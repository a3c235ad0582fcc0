"""The real client on the emulated Dataverse, without sockets."""

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from copy import replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import httpx

from local.emulators.dataverse import Dataverse, Fault, InProcessTransport, SystemUser, create_app
from local.emulators.dataverse.plugins import Behaviour, PlugIn
from local.emulators.dataverse.rows import Collation
from local.emulators.dataverse.schema import KeyStatus
from local.emulators.dataverse.wire.statistics import Statistics
from local.emulators.identity import mint_token
from shared.adapters.dataverse import DataverseGateway
from shared.adapters.dataverse.client import DataverseClient
from shared.adapters.dataverse.writes import DynamicsWrite
from shared.domain.model import DynamicsRecord, Record, Values
from shared.domain.schema.mapping import EntityMapping
from shared.domain.write import Intent
from shared.flows.ports.engine import Failed
from shared.settings import DOCUMENT_MAPPING
from shared.wiring import load_mapping
from tests.adapters.virtual import LoopClock

MAPPING = load_mapping(DOCUMENT_MAPPING)
ASSET = MAPPING.entities["asset"]
ORDER = MAPPING.entities["order"]

SIGNING_KEY = "a-signing-key-of-at-least-32-characters"
RESOURCE = "https://org.crm.dynamics.com"
ROOT = f"{RESOURCE}/api/data/v9.2"
CLIENT_ID = "app-1"


class StaticToken(httpx.Auth):
    """A token that never changes."""

    def __init__(self, token: str) -> None:
        self.token = token

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]  # generators are iterators
        request.headers["Authorization"] = f"Bearer {self.token}"
        yield request


class Recorder(httpx.AsyncBaseTransport):
    """Passes requests on, and remembers them, the instant of each, and how many were under way at most."""

    def __init__(self, inner: httpx.AsyncBaseTransport, clock: LoopClock) -> None:
        self._inner = inner
        self._clock = clock
        self.requests: list[httpx.Request] = []
        self.times: list[float] = []
        self.under_way = 0
        self.highest = 0
        self.latency = 0.0
        """Seconds that the network takes for a request and its answer."""
        self.change: Callable[[httpx.Response], httpx.Response] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.times.append(self._clock.monotonic())
        self.under_way += 1
        self.highest = max(self.highest, self.under_way)
        try:
            await asyncio.sleep(self.latency)
            response = await self._inner.handle_async_request(request)
            await response.aread()
            return self.change(response) if self.change else response
        finally:
            self.under_way -= 1

    def forget(self) -> None:
        self.requests.clear()
        self.times.clear()
        self.highest = 0


class World:
    """One organization and one worker's client for it."""

    def __init__(self, auth: httpx.Auth | None = None, *, collation: Collation = Collation.ACCENT_BLIND) -> None:
        self.clock = LoopClock()
        # Ids from a seed: the same test makes the same rows in the same order.
        draw = random.Random(1)  # noqa: S311  # repeatable, not secret
        self.dataverse = Dataverse(
            users=[SystemUser.of("Integration", CLIENT_ID)],
            clock=self.clock.now,
            ids=lambda: UUID(int=draw.getrandbits(128), version=4),
            collation=collation,
        )
        app = create_app(self.dataverse, signing_key=SIGNING_KEY, audiences=[RESOURCE])
        self.statistics = cast("Statistics", app.state.statistics)
        self._emulator = InProcessTransport(app)
        self.wire = Recorder(self._emulator, self.clock)
        self.client = DataverseClient(ROOT, auth or StaticToken(self.token()), self.clock, self.wire)
        self.gateway = DataverseGateway(self.client, self.clock)

    def token(self, **claims: Any) -> str:
        return mint_token(SIGNING_KEY, resource=RESOURCE, client_id=CLIENT_ID, **({"now": self.clock.now()} | claims))

    async def aclose(self) -> None:
        await self.gateway.aclose()
        await self._emulator.aclose()

    def deny(self, *privileges: str) -> None:
        """Take privileges such as `Create:salesorder` from our application user."""
        user = self.dataverse.users[CLIENT_ID]
        self.dataverse.users[CLIENT_ID] = replace(user, denied=frozenset(privileges))

    async def settle(self) -> None:
        """Wait until the emulator has carried out what its client gave up on."""
        await self._emulator.drain()

    def fault(self, effect: Any, **rule: Any) -> Fault:
        return self.dataverse.faults.add(Fault(effect, **rule))

    def plug_in(self, behaviour: str, *, table: str = ASSET.table, **rule: Any) -> PlugIn:
        """Install a plug-in on the assets."""
        self.dataverse.plug_ins.append(PlugIn(Behaviour(behaviour), table, **rule))
        return self.dataverse.plug_ins[-1]

    def rows(self, entity: EntityMapping) -> dict[str, dict[str, Any]]:
        """What is stored, by business key."""
        table = self.dataverse.tables[entity.table]
        return {str(row.values[entity.key.column]): dict(row.values) for row in table}

    def count(self, entity: EntityMapping) -> int:
        return len(self.dataverse.tables[entity.table])

    def set_key(self, entity: EntityMapping, status: KeyStatus) -> None:
        self.dataverse.tables[entity.table].table.keys[entity.alternate_key].status = status

    async def write(
        self, entity: EntityMapping, writes: Sequence[DynamicsWrite], seconds: float = 130
    ) -> list[DynamicsRecord | Failed]:
        intents = [intent_of(entity, write) for write in writes]
        return list(await self.gateway.write(entity, intents, self.clock.monotonic() + seconds))

    async def landed(self, entity: EntityMapping, writes: Sequence[DynamicsWrite]) -> list[DynamicsRecord]:
        """Write, and insist that every row landed."""
        results = await self.write(entity, writes)
        assert [result for result in results if isinstance(result, Failed)] == []
        return [result for result in results if isinstance(result, DynamicsRecord)]


def intent_of(entity: EntityMapping, write: DynamicsWrite) -> Intent:
    """A write as the engine announces it."""
    named = {entity.key.name: write.key} if write.id is None or write.writes_key else {}
    return Intent(
        side="dynamics",
        target=write.id or write.new_id,
        etag=write.etag,
        values={**named, **write.values},
        state=write.state,
        id=write.operation,
        expires_at=datetime(2100, 1, 1, tzinfo=UTC),
    )


def record_write(target: str | None, etag: str | None, values: Values, operation: str = "op") -> Intent:
    """A write of a record in the CMMS: a create without an etag."""
    return Intent(
        side="cmms",
        target=target,
        etag=etag,
        values=dict(values),
        id=operation,
        expires_at=datetime(2100, 1, 1, tzinfo=UTC),
    )


def create(key: str, **values: str | None) -> DynamicsWrite:
    return DynamicsWrite(key=key, id=None, etag=None, values={"nombre": "Bomba"} | values)


def creates(count: int, prefix: str = "A", **values: str | None) -> list[DynamicsWrite]:
    return [create(f"{prefix}-{number:05}", **values) for number in range(count)]


def update(row: Record, **values: str | None) -> DynamicsWrite:
    return DynamicsWrite(key=row.key, id=row.id, etag=row.etag, values=values)


def scripted(world_clock: LoopClock, answer: Callable[[httpx.Request], httpx.Response]) -> DataverseGateway:
    """A gateway on a service that answers as the function says."""
    return over(world_clock, httpx.MockTransport(answer))


def over(clock: LoopClock, transport: httpx.AsyncBaseTransport) -> DataverseGateway:
    """A gateway over another transport."""
    return DataverseGateway(DataverseClient(ROOT, StaticToken("t"), clock, transport), clock)


def only_failure(result: object) -> Failed:
    assert isinstance(result, Failed), result
    return result
