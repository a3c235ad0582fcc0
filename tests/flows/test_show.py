"""What an operator is told of one record."""

from datetime import UTC, datetime
from typing import cast

from shared.flows.operate.show import Story, tell
from shared.flows.ports import engine as ports
from tests.fakes import document_mapping
from tests.kit.world import World
from tests.ops.check.parts import QuietQueues

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


async def story(world: World) -> Story:
    sides = cast("ports.Cmms", world.cmms)
    return await tell(
        document_mapping().entities["asset"],
        "A",
        ledger=world.ledger,
        dynamics=cast("ports.Dynamics", world.dynamics),
        cmms=None if world.one_way else sides,
        queues=QuietQueues(),
        clock=world.clock,
    )


async def test_in_one_way_mode_the_cmms_holds_what_its_messages_said(one_way: World) -> None:
    await one_way.said(MOMENT, nombre="Bomba", valor_adquisicion="10.50")
    told = await story(one_way)
    assert told.cmms is not None
    assert (told.one_way, told.agrees, told.cmms.values["nombre"]) == (True, True, "Bomba")


async def test_in_one_way_mode_an_edit_in_dynamics_shows_beside_what_was_said(one_way: World) -> None:
    await one_way.said(MOMENT, nombre="Bomba")
    one_way.dynamics.put("A", nombre="Other")
    told = await story(one_way)
    (name,) = [one for one in told.fields if one.name == "nombre"]
    assert (told.agrees, name.cmms, name.dynamics, name.state) == (False, "Bomba", "Other", "differ")


async def test_in_one_way_mode_what_no_message_named_is_no_record(one_way: World) -> None:
    told = await story(one_way)
    assert (told.cmms, told.known, told.agrees) == (None, False, False)


async def test_of_a_deleted_record_nothing_is_left_to_do_and_its_row_keeps_its_values(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    await world.dirty()
    world.cmms.delete()
    before = await story(world)
    await world.dirty()
    told = await story(world)
    states = {one.name: one.state for one in told.fields}
    assert (before.agrees, told.agrees, states["nombre"], states["valor_libros"]) == (False, True, "kept", "agree")


async def test_of_a_row_that_is_missing_only_what_the_record_says_differs(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    await world.dirty()
    world.dynamics.rows.clear()
    told = await story(world)
    states = {one.name: one.state for one in told.fields}
    assert (told.agrees, states["nombre"], states["valor_libros"]) == (False, "differ", "agree")


async def test_of_a_record_that_is_to_take_a_row_over_the_end_is_told(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    await world.dirty()
    world.cmms.delete()
    await world.dirty()
    world.cmms.put("A", "2", nombre="Otra bomba")
    told = await story(world)
    states = {one.name: one.state for one in told.fields}
    assert (told.agrees, states["nombre"], told.others) == (False, "conflict", (world.row().id,))
