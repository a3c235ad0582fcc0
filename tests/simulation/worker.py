"""One worker: the product's own parts, put together as in production, over the simulated machines."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any, override
from uuid import UUID

import httpx

from local.emulators.servicebus.errors import LockLostError
from local.emulators.servicebus.memory import Settlement
from shared.adapters.cmms.client import CmmsGateway
from shared.adapters.dataverse import DataverseGateway
from shared.adapters.dataverse.admin.metadata import DataversePlatform
from shared.adapters.dataverse.client import DataverseClient
from shared.adapters.ledger import SqliteLedger
from shared.domain.link import Restored
from shared.domain.messages.queues import OF_ENTITY
from shared.domain.schema.mapping import Mapping
from shared.errors import RoutingFailed
from shared.flows.operate.restored import Restore
from shared.flows.ports.engine import Cmms, Dynamics, Ledger
from shared.flows.receive import Receiver
from shared.flows.reconcile import Policy, Reconciler
from shared.flows.reconcile.report import Kind, Report
from shared.flows.routing.route import Router
from shared.flows.sync import Sync
from shared.flows.sync.lanes import LANE
from tests.simulation.desk import Desk, SeenQueues
from tests.simulation.process import Process
from tests.simulation.queues import Queues
from tests.simulation.reach import Reach, ReachedBus, ReachedLedger
from tests.simulation.sent import BATCH
from tests.simulation.stale import Lagging, Past
from tests.simulation.weather import Weather

DYNAMICS_URL = "https://org.crm.dynamics.com"
CMMS_URL = "http://cmms.example"
NEVER = timedelta(days=365)
CMMS_TOKEN = "the-token-of-the-simulation"


class Signed(httpx.Auth):
    """A bearer token without a token service."""

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        request.headers["Authorization"] = f"Bearer {self._token()}"
        yield request


class InParts(DataverseGateway):
    """Has each batch, which is small here, announced and written in parts beside each other, as large ones are."""

    @override
    def share(self, records: int) -> int:
        return 3


@dataclass(frozen=True)
class Parts:
    """What a mutation may replace."""

    sync: type[Sync] = Sync
    receiver: type[Receiver] = Receiver
    dynamics: Callable[[Dynamics], Dynamics] = lambda gateway: gateway
    cmms: Callable[[Cmms], Cmms] = lambda gateway: gateway
    ledger: Callable[[Ledger], Ledger] = lambda ledger: ledger


class Worker:
    """Takes messages until its process dies."""

    def __init__(
        self,
        process: Process,
        *,
        mapping: Mapping,
        queues: Queues,
        ledger: SqliteLedger,
        dynamics: httpx.AsyncBaseTransport,
        cmms: httpx.AsyncBaseTransport,
        token: Callable[[], str],
        organization: UUID,
        weather: Weather,
        rng: Random,
        parts: Parts,
        pasts: tuple[Past, Past],
        one_way: bool = False,
        most: int = 12,
        lane: int = LANE,
    ) -> None:
        """`most` messages are taken at a time, and split into lanes of so many records."""
        self._most = most
        self._mapping = mapping
        self.process = process
        self._queues = queues
        self._rng = rng
        state = ReachedLedger(ledger, Reach("ledger", process, weather, "ledger_down", rng))
        reached: Any = parts.ledger(state)
        router = Router(ReachedBus(queues, Reach("bus", process, weather, "bus_down", rng)), process, rng)
        client = DataverseClient(f"{DYNAMICS_URL}/api/data/v9.2", Signed(token), process, dynamics)
        self._dynamics = InParts(client, process)
        self._cmms = CmmsGateway(CMMS_URL, CMMS_TOKEN, process, cmms)
        reads: tuple[Any, Any] = Lagging(self._dynamics, pasts[0]), Lagging(self._cmms, pasts[1])
        sides = parts.dynamics(reads[0]), None if one_way else parts.cmms(reads[1])
        self._sync = parts.sync(mapping, reached, *sides, router, clock=process, ids=self._new_id, lane=lane)
        self._restore = Restore(ledger=reached, dynamics=sides[0], cmms=sides[1], router=router, clock=process)
        policy = Policy(timedelta(), full_every=NEVER)
        self._reconciler = _Reconciler(mapping, reached, *sides, router, clock=process, policy=policy, state=reached)
        bus = ReachedBus(queues, Reach("bus", process, weather, "bus_down", rng))
        seen = SeenQueues(queues, Reach("bus", process, weather, "bus_down", rng))
        self._desk = Desk(mapping, state, *sides, DataversePlatform(client), router, seen, process)

        async def ours() -> UUID:
            return organization

        self._receiver = parts.receiver(mapping, bus, ours, process)

    def _new_id(self) -> UUID:
        return UUID(int=self._rng.getrandbits(128), version=4)

    def start(self) -> None:
        """Serve both queues."""
        for entity in OF_ENTITY:
            self.process.run(self._serve(entity))

    async def receive(self, body: bytes) -> None:
        """Take a webhook, as a part of this process; raises as the receiver does, or CancelledError in its death."""
        await self.process.run(self._receiver.receive(body))

    async def reconcile(self, kind: Kind | None) -> Report:
        """Run the timer's pass, as a part of this process; `kind` None lets it find out which one is due."""
        return await self.process.run(self._reconciler.run(kind))

    @property
    def report(self) -> Report:
        """The report of the last run, which is stored even where a part of the run failed."""
        return self._reconciler.report

    async def restored(self, side: Restored, at: datetime) -> None:
        """Do what `ops restored` does, as a part of this process; raises what stops the command."""
        await self.process.run(self._restored(side, at))

    async def _restored(self, side: Restored, at: datetime) -> None:
        for entity in self._mapping.entities.values():
            taken = await self._restore.look(entity, side, at)
            await self._restore.settle(taken, side, rate=1e6)

    async def operate[T](self, command: Callable[[Desk], Coroutine[Any, Any, T]]) -> T:
        """Run an operator's command as a part of this process; raises what stops the command."""
        return await self.process.run(command(self._desk))

    async def aclose(self) -> None:
        """Let the connections go."""
        await self._dynamics.aclose()
        await self._cmms.aclose()

    async def _serve(self, entity: str) -> None:
        queue = OF_ENTITY[entity].name
        while not self.process.dead.is_set():
            batch = await self._queues.take(queue, self._rng.randint(1, self._most))
            BATCH.set(f"{self.process.name} {asyncio.get_running_loop().time()}")
            try:
                await self._sync.handle(entity, [delivery.message.body for delivery in batch])
            except RoutingFailed:
                how = Settlement.ABANDON
                await asyncio.sleep(1.0)
            else:
                how = Settlement.COMPLETE
            for delivery in batch:
                try:
                    await self._queues.settle(delivery, how)
                except LockLostError:
                    continue  # somebody else has it, or had it


class _Reconciler(Reconciler):
    """The real one, which shows its report also where the run raises."""

    report: Report

    @override
    async def _compare(self, kind: Kind | None, report: Report) -> None:
        self.report = report
        await super()._compare(kind, report)
