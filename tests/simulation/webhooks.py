"""Dataverse's webhooks: each change is posted to one of the workers, sometimes twice, and now and then never."""

import asyncio
from collections.abc import Sequence
from random import Random

from local.emulators.dataverse import Dataverse
from local.emulators.dataverse.changes import Change
from local.emulators.dataverse.execution_context import render_context
from shared.errors import SyncError
from tests.simulation.tables import TABLES
from tests.simulation.trace import Trace
from tests.simulation.weather import Weather
from tests.simulation.worker import Worker


class Webhooks:
    """`lost` are ("dynamics", entity, id) of rows of which a webhook was lost."""

    def __init__(
        self, dataverse: Dataverse, workers: Sequence[Worker], weather: Weather, rng: Random, trace: Trace
    ) -> None:
        self._dataverse = dataverse
        self._workers = workers
        self._weather = weather
        self._rng = rng
        self._trace = trace
        self._under_way: set[asyncio.Task[None]] = set()
        self.lost: set[tuple[str, str, str]] = set()
        self.registered = True
        """Whether Dynamics posts changes at all."""

    @property
    def busy(self) -> bool:
        """Whether a post is under way."""
        return bool(self._under_way)

    def post(self, change: Change) -> None:
        """Tell of a change, in a while."""
        if not self.registered:
            return
        for _ in range(2 if self._rng.random() < self._weather.webhook_twice else 1):
            task = asyncio.get_running_loop().create_task(self._deliver(change))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _deliver(self, change: Change) -> None:
        """Post the change to a worker; Dataverse tries once more after 503, and never again."""
        body, _ = render_context(self._dataverse.organization, self._dataverse.tables[change.table].table, change)
        entity = next(name for name, table in TABLES.items() if table == change.table)
        await asyncio.sleep(self._rng.uniform(0.05, 4.0))
        if self._rng.random() >= self._weather.webhook_lost:
            for _ in range(2):
                if await self._posted(body):
                    return
                await asyncio.sleep(self._rng.uniform(1.0, 5.0))
        self._trace("weather", f"the webhook of {entity} {change.message.value} {str(change.row_id)[:8]} is lost")
        self.lost.add(("dynamics", entity, str(change.row_id)))

    async def _posted(self, body: bytes) -> bool:
        alive = [worker for worker in self._workers if not worker.process.dead.is_set()]
        if not alive:
            return False
        worker = self._rng.choice(alive)
        try:
            await worker.receive(body)
        except SyncError:
            return False
        except asyncio.CancelledError:
            if worker.process.dead.is_set():
                return False
            raise
        return True
