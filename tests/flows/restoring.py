"""What the tests of restored backups share: backups, and `ops restored` with the engine after it."""

from copy import deepcopy
from datetime import datetime
from typing import Any, cast

from shared.domain.link import Restored
from shared.flows.operate.restored import Restore, Taken
from tests.kit.world import World

ORDER = {"justificacion": "urgent", "total": "10", "estado": "PENDIENTE"}


def restore_of(world: World) -> Restore:
    cmms = None if world.one_way else cast("Any", world.cmms)
    dynamics = cast("Any", world.dynamics)
    return Restore(ledger=world.ledger, dynamics=dynamics, cmms=cmms, router=world.router, clock=world.clock)


async def look(world: World, side: Restored, at: datetime, entity: str = "asset") -> Taken:
    return await restore_of(world).look(world.mapping.entities[entity], side, at)


async def restored(world: World, side: Restored, at: datetime, entity: str = "asset") -> Taken:
    """What the command does, and then the engine."""
    taken = await look(world, side, at, entity)
    await restore_of(world).settle(taken, side, rate=1e6)
    await world.settle(entity)
    return taken


class Backup:
    """Yesterday's state of one side."""

    def __init__(self, world: World) -> None:
        self.world, self.at = world, world.clock.now()
        self._rows, self._records = deepcopy(world.dynamics.rows), deepcopy(world.cmms.records)
        world.later(days=1)

    def of_dynamics(self) -> None:
        self.world.dynamics.rows = self._rows

    def of_the_cmms(self) -> None:
        self.world.cmms.records = self._records


async def agreed(world: World) -> Backup:
    world.cmms.put("A", nombre="Bomba", numero_de_serie="S", valor_libros="10")
    await world.dirty()
    return Backup(world)


def values(world: World) -> dict[str, tuple[str | None, str | None]]:
    """Each field that has a value, on both sides."""
    record, row = world.cmms.records["1"].values, world.row().values
    return {name: (record.get(name), row.get(name)) for name in record if record.get(name) or row.get(name)}
