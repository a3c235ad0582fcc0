"""Two systems that others filled, and a first sync between them, in one process."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from shared.domain.messages.queues import OF_ENTITY, PARKED
from shared.flows.operate.first_sync.choices import Choices, choose
from shared.flows.operate.first_sync.plan import EntityPlan
from shared.flows.operate.first_sync.planner import Planner, Sources
from shared.flows.operate.first_sync.run import Part, Runner
from shared.flows.operate.first_sync.staging import Staging
from shared.flows.operate.parked import Queues, Waiting
from shared.flows.ports.engine import Cmms
from shared.flows.reconcile.first_sync import Progress
from tests.reconcile.world import World as Base

QUEUE = OF_ENTITY["asset"].name
COLUMNS = {
    "nombre": "msdyn_name",
    "numero_de_serie": "msdyn_serialid",
    "valor_libros": "msdyn_currentbookvalue",
    "valor_adquisicion": "msdyn_acquisitioncost",
}


class World(Base):
    """As the reconciliation's; `both`, `record` and `asset` fill it without any message."""

    def __init__(self, folder: Path, ledger: Path | str = ":memory:") -> None:
        super().__init__(folder, ledger)
        self.cmms.page = 100
        self.entity = self.mapping.entities["asset"]

    def record(self, key: str, **values: str | None) -> None:
        """Make an asset in the CMMS alone; a key that is there already is given to one more."""
        record = self.cmms._made(key)
        blank = dict.fromkeys(name for name in record["campos"] if name != "codigo_interno")
        self.cmms._change(record, {**blank, "nombre": "Bomba", **values}, announced=True)

    def asset(self, key: str, **values: Any) -> None:
        """Make a row in Dynamics alone."""
        self.create(key, **{COLUMNS[name]: value for name, value in values.items()})

    def both(self, key: str, **values: tuple[Any, Any]) -> None:
        """Make an asset on both sides; `values` are pairs where they differ."""
        self.record(key, **{name: cmms for name, (cmms, _) in values.items()})
        self.asset(key, **{name: dynamics for name, (_, dynamics) in values.items()})

    def choices(self, *prefer: str, create_in: str | None = None) -> Choices:
        return choose(self.mapping, entities=["asset"], prefer=prefer, create_in=create_in)

    async def plan(self, staging: Staging | None = None, choices: Choices | None = None, **more: Any) -> EntityPlan:
        """Plan assets."""
        chosen = (choices or self.choices()).entities["asset"]
        planner = Planner(Sources(self.ledger, self.dynamics, cast("Cmms", self.gateway), self.clock))
        with Staging() as own:
            return await planner.plan(staging or own, self.entity, chosen, **more)

    def runner(self, rate: float = 10_000.0) -> Runner:
        return self.runner_over(Peeked(self), rate)

    def runner_over(self, queues: "Peeked", rate: float) -> Runner:
        """A run that sees the queues so, and waits without waiting."""

        async def sleep(seconds: float) -> None:
            self.clock.advance(timedelta(seconds=seconds))

        return Runner(self.ledger, self.router, cast("Queues", queues), self.clock, rate=rate, sleep=sleep)

    async def run(self, choices: Choices | None = None) -> Progress:
        """Plan and run; the engine works while the run looks at the queue."""
        chosen = choices or self.choices()
        with Staging() as staging:
            plan = await self.plan(staging, chosen)
            part = Part(self.entity, chosen.entities["asset"], plan.messages, staging)
            return await self.runner().go([part], timedelta(minutes=5), lambda _progress: None)

    def linked(self) -> int:
        """How many links the ledger holds."""
        (count,) = self.ledger._db.execute("SELECT count(*) FROM link").fetchone()
        return int(count)

    def keys_in_dynamics(self) -> list[str]:
        return sorted(str(row.values["msdyn_assetnumber"]) for row in self.rows)

    def keys_in_cmms(self) -> list[str]:
        return sorted(one["campos"]["codigo_interno"] for one in self.cmms.records)


class Peeked:
    """The operator's view of the queues. Each look at the assets' queue lets the engine work it off first."""

    def __init__(self, world: World, *, works: bool = True) -> None:
        self._world = world
        self._works = works

    async def peek(self, queue: str) -> AsyncIterator[list[Waiting]]:
        world = self._world
        world.clock.advance(timedelta(seconds=2))
        if queue != PARKED.name and self._works:
            await world.settle()
        found = world.bus.queues.get(queue, [])
        yield [
            Waiting(
                number,
                message.body if isinstance(message.body, bytes) else message.body.encode(),
                message.properties,
                world.clock.now(),
            )
            for number, message in enumerate(found, start=1)
        ]
