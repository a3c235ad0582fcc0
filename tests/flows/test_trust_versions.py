"""Rule 7, sides and ledgers that went back: an older state is no edit."""

import sqlite3
from copy import replace
from datetime import timedelta

import pytest

from shared.domain.decide.older import OPERATIONS
from tests.flows.conditions import agreed, restarted
from tests.flows.conftest import MakeWorld
from tests.flows.test_in_doubt import mapping as stamped
from tests.kit.world import World


async def test_a_stale_read_is_no_edit(world: World) -> None:
    await agreed(world)
    world.dynamics.faults.stale = dict(world.dynamics.rows)
    world.cmms.put("A", nombre="Nueva")
    world.dynamics.faults.stale = None
    await world.dirty()
    older = {row.id: row for row in world.dynamics.rows.values()}
    world.dynamics.put("A", nombre="Editada")
    await world.dirty()
    world.dynamics.faults.stale = older
    await world.dirty()
    assert world.cmms.records["1"].values["nombre"] == "Editada"
    world.dynamics.faults.stale = None
    await world.settle()
    assert (world.cmms.records["1"].values["nombre"], world.parked) == ("Editada", [])


async def test_a_side_that_went_back_is_parked_and_overwrites_nothing(world: World) -> None:
    await agreed(world)
    yesterday = dict(world.dynamics.rows)
    world.dynamics.put("A", nombre="Editada")
    await world.dirty()
    world.dynamics.rows = yesterday
    await world.dirty()
    await world.settle()
    assert (world.cmms.records["1"].values["nombre"], world.parked) == ("Editada", ["went_back"])


@pytest.mark.parametrize("version", ["older", "the same"])
async def test_a_restored_row_is_parked_although_somebody_edited_it_since(world: World, version: str) -> None:
    await agreed(world)
    yesterday = world.row()
    world.dynamics.put("A", nombre="Editada")
    await world.webhook(world.row())
    seen = world.row().version or 0
    world.later(hours=1)
    values = {**yesterday.values, "numero_de_serie": "T"}
    number = seen if version == "the same" else seen - 1
    world.dynamics.change(yesterday, values=values, version=number, modified=world.clock.now())
    await world.webhook(world.row())
    await world.settle()
    assert (world.cmms.records["1"].values["nombre"], world.parked) == ("Editada", ["went_back"])


@pytest.mark.parametrize("lost", [1, 2])
async def test_a_restored_record_that_people_alone_had_changed_is_parked_although_edited(
    world: World, lost: int
) -> None:
    await agreed(world)
    yesterday = dict(world.cmms.records)
    for number in range(lost):
        world.later(hours=1)
        world.cmms.put("A", nombre=f"Editada {number}")
        await world.dirty()
    world.cmms.records = yesterday
    world.later(hours=1)
    world.cmms.put("A", numero_de_serie="T")
    await world.dirty()
    await world.settle()
    assert (world.row().values["nombre"], world.parked) == (f"Editada {lost - 1}", ["went_back"])


@pytest.mark.parametrize("side", ["dynamics", "cmms"])
async def test_edits_of_a_record_that_went_back_do_not_make_it_believed(world: World, side: str) -> None:
    await agreed(world)
    yesterday = dict(world.dynamics.rows), dict(world.cmms.records)
    edited = world.dynamics if side == "dynamics" else world.cmms
    edited.put("A", nombre="Editada")
    await world.dirty()
    world.dynamics.rows, world.cmms.records = (
        (yesterday[0], world.cmms.records) if side == "dynamics" else (world.dynamics.rows, yesterday[1])
    )
    await world.dirty()
    await world.settle()
    for _ in range(3):
        world.later(hours=1)
        edited.put("A", numero_de_serie="T")
        await world.dirty()
        await world.settle()
    held = world.cmms.records["1"] if side == "dynamics" else world.row()
    assert (held.values["nombre"], world.parked) == ("Editada", ["went_back"])


async def test_a_side_that_only_lagged_for_long_heals_by_itself(world: World) -> None:
    await agreed(world)
    older = dict(world.dynamics.rows)
    world.dynamics.put("A", nombre="Editada")
    await world.dirty()
    world.dynamics.faults.stale = older
    await world.dirty()
    await world.settle()
    world.dynamics.faults.stale = None
    await world.dirty()
    assert (await world.link()).parked == {}


async def test_a_ledger_that_went_back_makes_differences_conflicts_on_record(make_world: MakeWorld) -> None:
    world = make_world(mapping=stamped(stamp=True))
    await agreed(world)
    rows = list(world.ledger._db.iterdump())
    world.cmms.put("A", nombre="Nueva")
    await world.dirty()
    world.dynamics.put("A", nombre="Bomba")
    restored = restarted(make_world, world, world.mapping)
    restored.ledger._db = sqlite3.connect(":memory:", isolation_level=None)
    restored.ledger._db.executescript("\n".join(rows))
    await restored.dirty()
    assert [(one.field, one.lost) for one in (await restored.link()).conflicts] == [("nombre", "Bomba")]
    assert restored.cmms.records["1"].values["nombre"] == "Nueva"


async def test_a_restored_record_is_parked_although_an_edit_made_its_version_new_again(world: World) -> None:
    await agreed(world)
    yesterday = dict(world.cmms.records)
    world.dynamics.put("A", nombre="Editada")
    await world.dirty()
    world.cmms.records = yesterday
    world.cmms.put("A", numero_de_serie="T")
    await world.dirty()
    await world.settle()
    assert (world.row().values["nombre"], world.parked) == ("Editada", ["went_back"])


async def test_a_record_with_twenty_newer_operations_has_not_gone_back(world: World) -> None:
    await agreed(world)
    world.dynamics.put("A", nombre="Editada")
    await world.dirty()
    record = world.cmms.records["1"]
    newer = tuple(f"operation {number}" for number in range(OPERATIONS))
    world.cmms.records["1"] = replace(record, operations=newer)
    await world.dirty()
    await world.settle()
    assert world.parked == []


async def test_a_row_that_went_back_gives_no_key_up_and_reverts_nothing(world: World) -> None:
    await agreed(world)
    yesterday = dict(world.dynamics.rows)
    world.cmms.put("B", nombre="Nueva")  # the record is renamed and edited, then the other side is restored
    await world.dirty()
    world.dynamics.rows = yesterday
    world.cmms.put("A", "2", nombre="Otra")
    await world.dirty("2")
    await world.settle()
    assert world.cmms.records["1"].values["nombre"] == "Nueva"
    assert world.row().values["nombre"] == "Bomba"
    await world.dirty()
    await world.settle()
    assert world.parked == ["key_not_usable/codigo_interno", "went_back"]


async def test_what_a_stalled_host_reads_proves_no_restore(world: World) -> None:
    await agreed(world)
    world.cmms.put("B", "2", nombre="Otra")
    await world.dirty("2")
    world.later(minutes=10)
    world.dynamics.put("A", nombre="Editada")  # its version is below that of the next edit, which is read first
    world.dynamics.put("B", nombre="Después")
    world.dynamics.stalls = timedelta(minutes=6)
    world.later(minutes=-6)
    await world.dirty("2")
    world.dynamics.stalls = timedelta(0)
    await world.dirty()
    await world.settle()
    assert (world.cmms.records["1"].values["nombre"], world.parked) == ("Editada", [])
