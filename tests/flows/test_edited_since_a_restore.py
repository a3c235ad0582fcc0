"""Rule 7, edits between a restore and the operator's word: what a restore took back does not travel with them."""

from copy import replace

import pytest

from shared.domain.link import Identity
from shared.domain.model import SIDES, Side
from tests.flows.restoring import agreed_on_two, edit_b, edited_after_a_restore, look, put_back, restored, values
from tests.kit.world import World

EITHER = pytest.mark.parametrize("side", SIDES)


def edit(world: World, side: Side, **fields: str) -> None:
    (world.dynamics if side == "dynamics" else world.cmms).put("A", **fields)


@EITHER
@pytest.mark.parametrize("edits", [1, 2])
async def test_an_edit_after_a_restore_takes_nothing_back_whatever_its_version(
    world: World, side: Side, edits: int
) -> None:
    backup = await agreed_on_two(world)
    for number in range(edits):
        edit(world, side, nombre=f"Nueva {number}")
        edit_b(world, side)
        await world.dirty()
        await world.dirty("2")
    put_back(backup, side)
    world.later(seconds=10)
    for _ in range(edits + 1):
        edit(world, side, valor_libros="77")
    await world.dirty()
    await world.settle()
    row, record = world.row().values, world.cmms.records["1"].values
    kept = {"dynamics": record["nombre"], "cmms": row["nombre"]}[side]
    assert (kept, world.parked) == (f"Nueva {edits - 1}", ["went_back"])
    await restored(world, side, backup.at)
    assert values(world)["nombre"] == (f"Nueva {edits - 1}",) * 2
    assert ("valor_libros", "77") in {(one.field, one.lost) for one in (await world.link()).conflicts}


@EITHER
async def test_what_a_restore_did_not_take_back_is_released_with_its_edits(world: World, side: Side) -> None:
    backup = await edited_after_a_restore(world, side, valor_libros="77")
    assert world.parked == ["went_back"]
    taken = await restored(world, side, backup.at)
    assert values(world)["valor_libros"] == ("77", "77")
    assert ((await world.link()).parked, taken.intact) == ({}, {Identity("cmms", "1")})
    again = await look(world, side, backup.at)
    assert (again.records, again.busy) == ({}, [])


@EITHER
async def test_after_a_restore_and_the_word_edits_go_on_as_usual(world: World, side: Side) -> None:
    backup = await edited_after_a_restore(world, side, valor_libros="77")
    await restored(world, side, backup.at)
    world.later(minutes=10)
    edit(world, side, nombre="Editada después")
    await world.dirty()
    await world.settle()
    assert values(world)["nombre"] == ("Editada después",) * 2


@EITHER
async def test_what_was_seen_after_a_restore_lacks_nothing(world: World, side: Side) -> None:
    await edited_after_a_restore(world, side, valor_libros="77")
    world.parked.clear()
    world.cmms.put("C", "3", nombre="Tercera")
    await world.dirty("3")
    world.later(minutes=1)
    if side == "dynamics":
        world.dynamics.put("C", nombre="Editada")
    else:
        world.cmms.put("C", "3", nombre="Editada")
    await world.dirty("3")
    await world.settle()
    assert (world.cmms.records["3"].values["nombre"], world.row("C").values["nombre"]) == ("Editada", "Editada")


@EITHER
async def test_a_restore_that_took_back_nothing_that_was_seen_holds_nothing(world: World, side: Side) -> None:
    backup = await agreed_on_two(world)
    put_back(backup, side)
    edit(world, side, nombre="Editada")
    await world.dirty()
    await world.settle()
    assert (values(world)["nombre"], world.parked) == (("Editada", "Editada"), [])


async def test_a_bulk_change_that_a_restore_took_back_is_not_written_over(world: World) -> None:
    backup = await agreed_on_two(world)
    old = world.cmms.records["1"]
    # As Django's QuerySet.update does it: another value, and neither a version nor a revision.
    world.cmms.records["1"] = replace(old, values={**old.values, "nombre": "Nueva"})
    await world.dirty()
    edit_b(world, "cmms")
    await world.dirty("2")
    put_back(backup, "cmms")
    world.later(minutes=2)
    world.dynamics.put("A", valor_libros="77")
    await world.dirty()
    await world.settle()
    assert (world.row().values["nombre"], world.parked) == ("Nueva", ["went_back"])
    await restored(world, "cmms", backup.at)
    assert values(world)["nombre"] == ("Nueva", "Nueva")
    lost = {(one.field, one.lost, one.why) for one in (await world.link()).conflicts}
    assert lost == {("nombre", "Bomba", "restored"), ("valor_libros", "10", "restored")}


async def test_a_bulk_change_before_any_restore_is_an_edit(world: World) -> None:
    await agreed_on_two(world)
    old = world.cmms.records["1"]
    world.cmms.records["1"] = replace(old, values={**old.values, "nombre": "Nueva"})
    await world.dirty()
    assert (values(world)["nombre"], world.parked) == (("Nueva", "Nueva"), [])
