"""Rule 7: loops that are ours are parked; people who change their minds never are."""

from datetime import timedelta

from shared.domain.loop_detection import RETURNS
from shared.domain.messages.queues import PARKED
from tests.kit.world import World


def reasons(world: World) -> list[object]:
    return [one.properties["reason"] for one in world.bus.queues.get(PARKED.name, [])]


async def test_a_side_that_turns_our_write_back_again_and_again_is_parked_once(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    await world.dirty()
    world.cmms.put("A", nombre="bomba")
    for _ in range(4 * RETURNS):
        world.clock.advance(timedelta(seconds=2))
        await world.dirty()
        # A script in Dynamics writes capitals, and one in the CMMS small letters.
        if world.row().values["nombre"] == "bomba":
            world.dynamics.put("A", nombre="BOMBA")
        elif world.cmms.records["1"].values["nombre"] == "BOMBA":
            world.cmms.put("A", nombre="bomba")
    assert reasons(world) == ["does_not_converge"]
    assert len(world.dynamics.writes) <= 2 * RETURNS
    world.cmms.put("A", nombre="Otra", numero_de_serie="S")
    world.clock.advance(timedelta(minutes=5))
    await world.dirty()
    assert (world.row().values["nombre"], world.row().values["numero_de_serie"]) == ("Otra", "S")
    assert (await world.link()).parked == {}


async def test_a_one_way_field_that_is_always_overwritten_is_parked_once(world: World) -> None:
    world.cmms.put("R", justificacion="porque", total="1", estado="BORRADOR", fecha_creacion="2026-01-01T00:00:00Z")
    await world.dirty(entity="order")
    for _ in range(4 * RETURNS):
        world.dynamics.put("R", justificacion="PORQUE")
        world.clock.advance(timedelta(seconds=2))
        await world.dirty(entity="order")
    assert reasons(world) == ["does_not_converge"]


async def test_a_person_who_switches_a_value_to_and_fro_is_never_taken_for_a_loop(world: World) -> None:
    world.cmms.put("A", nombre="uno")
    await world.dirty()
    for turn in range(20):
        world.cmms.put("A", nombre=("dos", "uno")[turn % 2])
        world.clock.advance(timedelta(seconds=1))
        await world.dirty()
        assert world.row().values["nombre"] == ("dos", "uno")[turn % 2]
    assert reasons(world) == []


async def test_two_people_who_disagree_at_a_persons_pace_are_never_taken_for_a_loop(world: World) -> None:
    world.cmms.put("A", nombre="uno")
    await world.dirty()
    for _ in range(10):
        for side, value in ((world.dynamics, "dos"), (world.cmms, "uno")):
            world.clock.advance(timedelta(minutes=2))
            side.put("A", nombre=value)
            await world.dirty()
            assert world.row().values["nombre"] == world.cmms.records["1"].values["nombre"] == value
    assert reasons(world) == []
