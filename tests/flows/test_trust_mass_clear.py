"""Rule 7, many clears at once: they are held until a person has looked."""

import pytest

from shared.domain.messages.events import Event
from shared.errors import Throttled
from shared.flows.sync.mass_clear import MANY, PER_FILL
from tests.kit.world import World


def every(count: int) -> list[bytes]:
    """One message for each of so many records."""
    events = [Event(source="/t", type="sync.asset.dirty", data={"cmms_id": str(number)}) for number in range(count)]
    return [event.to_json().encode() for event in events]


async def many(world: World, count: int) -> None:
    for number in range(count):
        world.cmms.put(f"K{number}", str(number), nombre=f"N{number}", numero_de_serie=f"S{number}")
    await world.sync.handle("asset", every(count))
    for row in list(world.dynamics.rows.values()):
        world.dynamics.change(row, values={**row.values, "numero_de_serie": None})


def serials(world: World) -> set[str | None]:
    return {record.values["numero_de_serie"] for record in world.cmms.records.values()}


@pytest.mark.parametrize("size", [MANY, 7], ids=["one batch", "small batches"])
async def test_a_mass_of_clears_is_parked_and_the_rest_goes_on(world: World, size: int) -> None:
    await many(world, 2 * MANY)
    for row in list(world.dynamics.rows.values()):
        world.dynamics.change(row, values={**row.values, "nombre": "Edited"})
    bodies = every(2 * MANY)
    for start in range(0, len(bodies), size):
        await world.sync.handle("asset", bodies[start : start + size])
    await world.settle()
    kept = [record for record in world.cmms.records.values() if record.values["numero_de_serie"] is not None]
    assert len(kept) == len(world.parked) >= MANY
    assert set(world.parked) == {"mass_clear/numero_de_serie"}
    assert {record.values["nombre"] for record in world.cmms.records.values()} == {"Edited"}


async def test_a_mass_of_clears_stays_held_one_by_one_until_a_person_replays_it(world: World) -> None:
    await many(world, MANY)
    await world.sync.handle("asset", every(MANY))
    world.later(hours=1)
    for number in range(MANY):
        await world.dirty(str(number))
    assert None not in serials(world)
    await world.replay()
    assert serials(world) == {None}
    assert (await world.link("0")).parked == {}


async def test_a_clear_that_is_tried_again_and_again_is_no_mass(world: World) -> None:
    await many(world, 1)
    for _ in range(MANY):
        world.cmms.faults.next = [Throttled("slow down")]
        await world.dirty("0")
    await world.dirty("0")
    assert (serials(world), world.parked) == ({None}, [])


async def test_a_replay_of_something_else_lets_no_mass_of_clears_pass(world: World) -> None:
    await many(world, MANY)
    for number in range(MANY):
        world.cmms.put(f"K{number}", str(number), nombre="x" * 101)
    await world.sync.handle("asset", every(MANY))
    await world.replay("mapping_error")
    assert None not in serials(world)
    await world.replay("mass_clear")
    assert serials(world) == {None}


async def test_a_column_that_can_be_read_again_ends_a_mass_of_clears(world: World) -> None:
    await many(world, MANY)
    await world.sync.handle("asset", every(MANY))
    for number in range(MANY):
        world.dynamics.put(f"K{number}", numero_de_serie=f"S{number}")
    world.later(hours=1)
    await world.sync.handle("asset", every(MANY))
    assert serials(world) == {f"S{number}" for number in range(MANY)}
    assert [(await world.link(str(number))).parked for number in range(MANY)] == [{}] * MANY


@pytest.mark.parametrize(
    ("edits", "held"),
    [
        pytest.param(MANY // PER_FILL, 0, id="an edit for each ten clears: people's work"),
        pytest.param(MANY // PER_FILL - 1, MANY, id="fewer edits: held"),
    ],
)
async def test_clears_are_people_s_work_beside_enough_edits_of_the_same_field(
    world: World, edits: int, held: int
) -> None:
    await many(world, MANY + edits)
    for number in range(edits):
        world.dynamics.put(f"K{number}", numero_de_serie="edited")
    await world.sync.handle("asset", every(MANY + edits))
    await world.settle()
    assert world.parked == ["mass_clear/numero_de_serie"] * held


async def test_an_edit_among_small_batches_counts_once_beside_the_clears_before_and_after_it(world: World) -> None:
    await many(world, MANY + 1)
    for start in range(0, MANY // 2, 2):
        await world.sync.handle("asset", every(MANY)[start : start + 2])
    world.dynamics.put(f"K{MANY}", numero_de_serie="edited")
    await world.dirty(str(MANY))
    for start in range(MANY // 2, MANY, 2):
        await world.sync.handle("asset", every(MANY)[start : start + 2])
    assert set(world.parked) == {"mass_clear/numero_de_serie"}


async def test_what_is_emptied_right_after_it_was_filled_counts_as_emptied(world: World) -> None:
    await many(world, MANY)
    for number in range(MANY):
        world.dynamics.put(f"K{number}", numero_de_serie="filled")
    await world.sync.handle("asset", every(MANY))
    for row in list(world.dynamics.rows.values()):
        world.dynamics.change(row, values={**row.values, "numero_de_serie": None})
    await world.sync.handle("asset", every(MANY))
    assert world.parked == ["mass_clear/numero_de_serie"] * MANY


async def test_a_few_clears_are_people_s_work(world: World) -> None:
    await many(world, MANY - 1)
    assert (await world.sync.handle("asset", every(MANY - 1))).applied == MANY - 1
