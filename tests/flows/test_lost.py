"""Rule 6: an answer that was lost is asked for again at once; what the side does not show plainly stays announced."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import pytest

from shared.domain.queues import PARKED
from shared.errors import Unavailable
from shared.flows.ports import Failed
from tests.flows.sides import World

LOST = Unavailable("the answer was lost")


def lose_answer(
    world: World, side: Literal["dynamics", "cmms"], meanwhile: Callable[[], object] = lambda: None
) -> None:
    """Let the next write of this side happen without an answer; `meanwhile` is what a person does just then."""
    target = getattr(world, side)
    write = target.write

    async def lost(*arguments: object) -> object:
        target.write = write
        results = await write(*arguments)
        meanwhile()
        return [Failed(LOST, unknown=True) for _ in results]

    target.write = lost


async def test_an_update_whose_answer_was_lost_is_found_in_the_row_at_once(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    await world.dirty("A")
    world.cmms.put("A", nombre="Nueva", valor_libros="7")
    lose_answer(world, "dynamics")
    assert (await world.dirty("A")).applied == 1
    entry = await world.entry("A")
    assert (entry.intents, entry.bases["nombre"].dynamics, entry.conflicts) == ((), "Nueva", ())


async def test_a_create_whose_answer_was_lost_is_found_by_the_rows_own_id(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    lose_answer(world, "dynamics")
    assert (await world.dirty("A")).applied == 1
    entry = await world.entry("A")
    assert (entry.intents, entry.dynamics_id) == ((), world.row("A").id)
    assert len(world.dynamics.rows) == 1


async def test_a_cmms_write_whose_answer_was_lost_is_found_by_its_name(world: World) -> None:
    world.dynamics.put("A", nombre="Bomba")
    lose_answer(world, "cmms")
    assert (await world.dirty("A")).applied == 1
    world.dynamics.put("A", nombre="Nueva")
    lose_answer(world, "cmms")
    assert (await world.dirty("A")).applied == 1
    entry = await world.entry("A")
    assert (entry.intents, entry.bases["nombre"].cmms, len(world.cmms.writes)) == ((), "Nueva", 2)


@pytest.mark.parametrize("value", ["Bomba", "De otra persona"])
async def test_a_person_who_was_faster_than_the_question_leaves_the_write_announced(world: World, value: str) -> None:
    world.cmms.put("A", nombre="Bomba")
    await world.dirty("A")
    world.cmms.put("A", nombre="Nueva")
    lose_answer(world, "dynamics", lambda: world.dynamics.put("A", nombre=value))
    assert (await world.dirty("A")).retried == 1
    assert [intent.side for intent in (await world.entry("A")).intents] == ["dynamics"]


async def test_an_equal_value_that_a_person_gave_is_no_proof_that_the_cmms_took_our_write(world: World) -> None:
    world.dynamics.put("A", nombre="Bomba")
    await world.dirty("A")
    world.dynamics.put("A", nombre="Nueva")

    def typed_by_hand() -> None:
        record = world.cmms.put("A", nombre="Nueva")
        world.cmms.records["A"] = replace(record, operations=frozenset())

    lose_answer(world, "cmms", typed_by_hand)
    assert (await world.dirty("A")).retried == 1
    assert [intent.side for intent in (await world.entry("A")).intents] == ["cmms"]
    assert PARKED.name not in world.bus.queues
