"""What the tests of restored backups share: backups, and `ops restored` with the engine after it."""

from copy import deepcopy
from datetime import datetime
from typing import Any, cast

from shared.domain.link import Restored
from shared.domain.model import Side
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


async def edited_after_a_restore(world: World, side: Side, **edit: str) -> Backup:
    """Somebody edits record A, which the backup has as it was, a minute after a restore took an edit of B back."""
    backup = await agreed_on_two(world)
    edit_b(world, side)
    await world.dirty("2")
    put_back(backup, side)
    world.later(minutes=1)
    (world.dynamics if side == "dynamics" else world.cmms).put("A", **edit)
    await world.dirty()
    await world.settle()
    return backup


async def agreed_on_two(world: World) -> Backup:
    """Records A and B are agreed, and an hour later all is backed up."""
    world.cmms.put("B", "2", nombre="Otra")
    await world.dirty("2")
    await agreed(world)
    world.later(hours=1)
    return Backup(world)


def edit_b(world: World, side: Side) -> None:
    """A person edits record B."""
    if side == "dynamics":
        world.dynamics.put("B", nombre="Editada")
    else:
        world.cmms.put("B", "2", nombre="Editada")


def put_back(backup: Backup, side: Side) -> None:
    """Restore a side."""
    if side == "dynamics":
        backup.of_dynamics()
    else:
        backup.of_the_cmms()


def values(world: World) -> dict[str, tuple[str | None, str | None]]:
    """Each field that has a value, on both sides."""
    record, row = world.cmms.records["1"].values, world.row().values
    return {name: (record.get(name), row.get(name)) for name in record if record.get(name) or row.get(name)}
