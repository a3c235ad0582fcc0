"""The ledger and the bus as one worker reaches them: the real SQLite ledger and the broker's queues, with faults."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from random import Random

from shared.adapters.ledger import SqliteLedger
from shared.domain.link import Identity, Link, LinkHash, Stored
from shared.errors import LedgerUnreadable, LinkTooLarge, Unavailable
from shared.flows.ports.engine import Outgoing
from tests.simulation.process import Process
from tests.simulation.queues import Queues
from tests.simulation.weather import Weather


class Reach:
    """Calls of another machine: each may fail before it is carried out, or after it."""

    def __init__(self, what: str, process: Process, weather: Weather, fault: str, rng: Random) -> None:
        self._what = what
        self._process = process
        self._weather = weather
        self._fault = fault
        self._rng = rng

    async def call[T](self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        """Carry out `work`, which must not wait for anything, between two stretches of time."""
        expired = await self._process.hop(f"before {self._what} {name}")
        await asyncio.sleep(self._rng.uniform(0.001, 0.03))
        self._fail()
        result = await work()
        await asyncio.sleep(self._rng.uniform(0.001, 0.03))
        if await self._process.hop(f"after {self._what} {name}") or expired:
            raise asyncio.CancelledError
        self._fail()
        return result

    def _fail(self) -> None:
        probability: float = getattr(self._weather, self._fault)
        if probability and self._rng.random() < probability:
            raise Unavailable(f"The {self._what} gave no answer.")


class ReachedLedger:
    """Implements the flows' `Ledger` and `State`."""

    def __init__(self, ledger: SqliteLedger, reach: Reach) -> None:
        self._ledger = ledger
        self._reach = reach

    async def find(self, entity: str, identities: Collection[Identity]) -> Mapping[Identity, Stored | LedgerUnreadable]:
        """As the port says."""
        return await self._reach.call("find", lambda: self._ledger.find(entity, identities)) if identities else {}

    async def write(self, entity: str, links: Sequence[Stored]) -> Sequence[Stored | LinkTooLarge | None]:
        """As the port says."""
        return await self._reach.call("write", lambda: self._ledger.write(entity, links)) if links else ()

    async def get_state(self, names: Collection[str]) -> Mapping[str, str]:
        """As the port `State` says."""
        return await self._reach.call("get_state", lambda: self._ledger.get_state(names))

    async def put_state(self, values: Mapping[str, str | None]) -> None:
        """As the port `State` says."""
        await self._reach.call("put_state", lambda: self._ledger.put_state(values))

    async def swap_state(self, name: str, before: str | None, after: str) -> bool:
        """As the port `State` says."""
        return await self._reach.call("swap_state", lambda: self._ledger.swap_state(name, before, after))

    async def hashes(self, entity: str) -> AsyncIterator[Sequence[LinkHash]]:
        """As the port says, page by page."""
        async for page in self._ledger.hashes(entity):
            await self._reach.call("hashes", _nothing)
            yield page

    async def scan(self, entity: str) -> AsyncIterator[Sequence[Link | LedgerUnreadable]]:
        """As the port says, page by page."""
        async for page in self._ledger.scan(entity):
            await self._reach.call("scan", _nothing)
            yield page


class ReachedBus:
    """Implements the flows' `Bus`."""

    def __init__(self, queues: Queues, reach: Reach) -> None:
        self._queues = queues
        self._reach = reach

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        """As the port says."""
        await self._reach.call(f"send to {queue}", lambda: self._queues.send(queue, messages))


async def _nothing() -> None:
    """Only the way there and back."""
