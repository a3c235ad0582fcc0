"""A ledger that forgot a pair: a record keeps the id of the row that it was made from, whatever its key is by now."""

import pytest

from shared.domain.link import Stored
from tests.flows.conditions import unanswered
from tests.flows.conftest import MakeWorld
from tests.flows.test_in_doubt import mapping
from tests.kit.world import World


async def forgotten(make_world: MakeWorld, **values: str) -> World:
    """A record that was made from a row, and renamed since, and a ledger of before both."""
    world = make_world()
    row = world.dynamics.put("A", nombre="Bomba")
    await world.webhook(row, "create")
    await world.settle()
    world.cmms.put("B", **values)
    world.forget()
    return world


@pytest.mark.parametrize("first", ["row", "record"])
async def test_a_forgotten_row_finds_the_record_that_was_made_from_it(make_world: MakeWorld, first: str) -> None:
    world = await forgotten(make_world)
    row = world.row()
    for one in (first, {"row": "record", "record": "row"}[first]):
        await (world.webhook(row) if one == "row" else world.dirty())
        await world.settle()
    assert (await world.link()).row_id == row.id
    assert (len(world.cmms.records), len(world.dynamics.rows), world.parked) == (1, 1, [])
    assert world.row("B").values["nombre"] == "Bomba"


@pytest.mark.parametrize("first", ["row", "record"])
async def test_what_differs_of_a_forgotten_pair_is_on_record(make_world: MakeWorld, first: str) -> None:
    world = await forgotten(make_world, nombre="Motor")
    row = world.row()
    await (world.webhook(row) if first == "row" else world.dirty())
    await world.settle()
    found = {(one.field, one.lost, one.why) for one in (await world.link()).conflicts}
    assert found == {("nombre", "Bomba", "first_contact"), ("codigo_interno", "A", "first_contact")}
    assert world.row("B").values["nombre"] == "Motor"


async def test_a_row_whose_forgotten_record_was_deleted_becomes_no_record_again(make_world: MakeWorld) -> None:
    world = await forgotten(make_world)
    row = world.row()
    world.cmms.delete()
    await world.webhook(row)
    await world.settle()
    assert [record.deleted for record in world.cmms.records.values()] == [True]
    assert (world.row().state, world.parked) == (1, [])


async def test_a_row_whose_record_was_deleted_before_its_row_was_known_is_parked_once(make_world: MakeWorld) -> None:
    world = await forgotten(make_world)
    row = world.row()
    world.cmms.delete()
    await world.dirty()
    for _ in range(2):
        await world.webhook(row)
        await world.settle()
    assert (world.row().state, world.parked, (await world.link(row.id, "row")).intents) == (0, ["row_replaced"], ())
    await world.replay()
    assert (world.parked, len(world.cmms.records)) == (["row_replaced"], 1)


async def test_a_row_whose_record_has_another_row_by_now_is_parked(make_world: MakeWorld) -> None:
    world = await forgotten(make_world)
    row = world.dynamics.rows.pop(world.row().id)
    await world.dirty(operation="recreate")
    world.dynamics.rows[row.id] = row
    await world.webhook(row)
    await world.settle()
    assert (len(world.cmms.records), world.parked) == (1, ["row_replaced"])


async def test_a_record_whose_row_nothing_tells_is_parked_and_gets_no_second_row(make_world: MakeWorld) -> None:
    world = make_world()
    world.cmms.put("A", nombre="Bomba")
    await world.dirty()
    world.dynamics.put("A", nombre="Motor")
    await world.webhook(world.row())
    await world.settle()
    world.cmms.put("B")
    world.forget()
    await world.dirty()
    await world.settle()
    assert (len(world.dynamics.rows), world.parked) == (1, ["row_replaced"])
    row = world.row()
    world.dynamics.put("B", row_id=row.id)
    await world.replay()
    await world.settle()
    assert (await world.link()).row_id == row.id


async def test_a_create_that_a_forgotten_write_followed_agrees_on_nothing_that_differs(make_world: MakeWorld) -> None:
    world = make_world(mapping=mapping(stamp=True))
    world.cmms.put("A", nombre="Bomba", numero_de_serie="S")
    await unanswered(world, "never arrives")
    announced, before = await world.link(), dict(world.cmms.records)
    world.cmms.put("A", nombre="Motor")
    await world.dirty()
    await world.settle()
    assert world.row().values["nombre"] == "Motor"
    world.forget()
    await world.ledger.write("asset", [Stored(link=announced)])  # type: ignore[no-untyped-call]
    world.cmms.records = before
    await world.dirty()
    await world.settle()
    assert [(one.field, one.won, one.lost, one.why) for one in (await world.link()).conflicts] == [
        ("nombre", "Motor", "Bomba", "late_write"),
        ("nombre", "Bomba", "Motor", "first_contact"),
    ]
    assert (world.row().values["nombre"], world.cmms.records["1"].values["nombre"]) == ("Bomba", "Bomba")


async def test_a_forgotten_record_that_is_made_once_more_agrees_on_nothing_that_it_does_not_hold(world: World) -> None:
    row = world.dynamics.put("A", nombre="Bomba", numero_de_serie="S")
    await world.webhook(row, "create")
    await world.settle()
    world.forget()
    world.cmms.faults.next = ["never arrives"]
    await world.webhook(world.dynamics.put("B", row.id, nombre="Motor"))
    await world.settle()
    (record,) = world.cmms.records.values()
    assert record.values["nombre"] == world.dynamics.rows[row.id].values["nombre"] == "Bomba"
    assert [(one.field, one.lost) for one in (await world.link()).conflicts if one.field == "nombre"] == [
        ("nombre", "Motor")
    ]


async def test_a_record_whose_row_was_deleted_before_both_were_known_waits_for_a_person(make_world: MakeWorld) -> None:
    world = await forgotten(make_world)
    world.dynamics.rows.clear()
    await world.dirty()
    await world.settle()
    assert (world.dynamics.rows, world.parked) == ({}, ["row_replaced"])
    await world.dirty(operation="recreate")
    assert (world.row("B").values["nombre"], len(world.cmms.records)) == (world.cmms.records["1"].values["nombre"], 1)
