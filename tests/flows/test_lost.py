"""Rule 6: an answer that was lost is asked for again at once; what the side does not show plainly stays announced."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

import pytest

from shared.domain.messages.queues import PARKED
from shared.errors import Unavailable
from shared.flows.ports.engine import Failed
from shared.flows.sync.execute import INTENT_LIFE
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


@pytest.mark.parametrize("made", [True, False])
async def test_where_an_earlier_write_may_have_landed_instead_the_values_prove_nothing(
    world: World, *, made: bool
) -> None:
    if made:
        world.cmms.put("A", nombre="Bomba")
        await world.dirty("A")
    world.cmms.put("A", nombre="Nueva", valor_libros="2")
    write = world.dynamics.write
    late: list[Any] = []

    async def straggle(*arguments: Any) -> object:
        late.append(arguments)
        world.dynamics.write = overtaken  # type: ignore[method-assign,assignment]
        return [Failed(LOST, unknown=True) for _ in arguments[1]]

    async def overtaken(*arguments: Any) -> object:
        world.dynamics.write = write  # type: ignore[method-assign]
        await write(*late[0])
        (refused,) = await write(*arguments)
        assert isinstance(refused, Failed)
        return [Failed(LOST, unknown=True)]

    world.dynamics.write = straggle  # type: ignore[method-assign,assignment]
    await world.dirty("A")
    world.cmms.put("A", valor_libros=None)  # a person takes it back before the first write lands
    for _ in range(4):
        world.clock.advance(INTENT_LIFE + timedelta(seconds=1))
        await world.dirty("A")
    assert (world.cmms.records["A"].values["valor_libros"], world.row("A").values["valor_libros"]) == (None, None)


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
