"""Functions hosts in virtual time: each takes batches off one queue, over the emulated Dataverse and one ledger."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta
from random import Random

from shared.adapters.dataverse import DataverseGateway
from shared.adapters.dataverse.client import DataverseClient
from shared.adapters.ledger.sqlite import SqliteLedger
from shared.domain.messages.events import Event
from shared.domain.messages.queues import OF_ENTITY
from shared.flows.ports.engine import Outgoing
from shared.flows.routing.route import Router
from shared.flows.sync import Sync
from tests.adapters.virtual import START
from tests.adapters.worlds import ASSET, MAPPING, ROOT, StaticToken, World

BATCH = 200
_IDLE = 0.1


class Queue:
    """One queue as the flows' `Bus`: what is due waits in the order of its time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: list[tuple[float, bytes]] = []
        self.under_way = 0
        self.sent_again = 0

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        assert queue == OF_ENTITY[ASSET.name].name, f"a message was parked: {messages[0].properties}"
        for message in messages:
            body = message.body if isinstance(message.body, bytes) else message.body.encode()
            due = message.scheduled_at - START if message.scheduled_at else timedelta()
            self._waiting.append((due.total_seconds(), body))
        self.sent_again += len(messages)

    def fill(self, bodies: Iterable[bytes]) -> None:
        self._waiting += [(self._world.clock.monotonic(), body) for body in bodies]

    @property
    def is_empty(self) -> bool:
        return not self._waiting and not self.under_way

    def take(self) -> list[bytes]:
        """Up to a batch of what is due."""
        now = self._world.clock.monotonic()
        self._waiting.sort(key=lambda one: one[0])
        due = [body for at, body in self._waiting[:BATCH] if at <= now]
        del self._waiting[: len(due)]
        return due


class Hosts:
    """So many hosts, each with its own connection to Dynamics, in one-way mode."""

    def __init__(self, world: World, number: int = 1) -> None:
        self.world = world
        self.queue = Queue(world)
        self.batches = 0
        self._ledger = SqliteLedger(":memory:")
        clients = [DataverseClient(ROOT, StaticToken(world.token()), world.clock, world.wire) for _ in range(number)]
        self._gateways = [DataverseGateway(client, world.clock) for client in clients]
        self._engines = [
            Sync(MAPPING, self._ledger, gateway, None, self._router(), clock=world.clock) for gateway in self._gateways
        ]

    def _router(self) -> Router:
        return Router(self.queue, self.world.clock, Random(1))  # noqa: S311  # jitter

    async def drain(self) -> float:
        """Work until the queue is empty.

        Returns:
            The seconds that it took.
        """
        started = self.world.clock.monotonic()
        await asyncio.gather(*(self._work(engine) for engine in self._engines))
        return self.world.clock.monotonic() - started

    async def _work(self, engine: Sync) -> None:
        while not self.queue.is_empty:
            bodies = self.queue.take()
            if not bodies:
                await asyncio.sleep(_IDLE)
                continue
            self.queue.under_way += len(bodies)
            await engine.handle(ASSET.name, bodies)
            self.queue.under_way -= len(bodies)
            self.batches += 1

    async def aclose(self) -> None:
        self._ledger.close()
        for gateway in self._gateways:
            await gateway.aclose()


def message(number: int, second: int = 0) -> bytes:
    """What the CMMS says of an asset; the newest of several says the highest `second`."""
    version = (START + timedelta(seconds=second)).isoformat()
    data = {"id": str(number), "key": f"A-{number:05}", "version": version, "fields": {"nombre": f"Bomba {second}"}}
    return Event(source="/cmms", type="energy.asset.upserted", data=data).to_json().encode()
