"""Rule 7: a figure counts in the currency in which it was agreed; where that changes, a person says what is meant."""

import pytest

from shared.domain.messages.queues import PARKED
from tests.flows.restoring import Backup, restored
from tests.kit.world import World

FIGURES = {"valor_adquisicion", "valor_libros"}


async def agreed(world: World) -> None:
    world.cmms.put("A", nombre="Bomba", valor_adquisicion="100", valor_libros="50")
    await world.dirty()
    world.dynamics.change(world.row(), currency="dollars")
    await world.webhook(world.row())


async def in_euros(world: World, **values: str) -> None:
    world.dynamics.put("A", **values)
    world.dynamics.change(world.row(), currency="euros")
    await world.webhook(world.row())


def figures(world: World) -> list[tuple[str | None, ...]]:
    sides = (world.cmms.records["1"].values, world.row().values)
    return [tuple(side[name] for name in sorted(FIGURES)) for side in sides]


async def test_a_figure_of_another_currency_does_not_travel_and_the_rest_does(world: World) -> None:
    await agreed(world)
    await in_euros(world, valor_libros="45", nombre="Pump")
    assert set(world.parked) == {f"currency_changed/{name}" for name in FIGURES}
    assert figures(world) == [("100", "50"), ("100", "45")]
    assert world.cmms.records["1"].values["nombre"] == "Pump"


async def test_the_cmms_s_figure_does_not_travel_into_another_currency_either(world: World) -> None:
    await agreed(world)
    await in_euros(world)
    world.cmms.put("A", valor_adquisicion="110", nombre="Nueva")
    await world.dirty()
    assert figures(world) == [("110", "50"), ("100", "50")]
    assert world.row().values["nombre"] == "Nueva"
    assert sorted(world.parked) == sorted(f"currency_changed/{name}" for name in FIGURES)


async def test_a_replay_takes_the_new_currency_for_agreed(world: World) -> None:
    await agreed(world)
    await in_euros(world, valor_libros="45")
    await world.replay()
    assert figures(world) == [("100", "45"), ("100", "45")]
    world.dynamics.put("A", valor_libros="44")
    await world.webhook(world.row())
    assert (figures(world)[0], (await world.link()).parked, world.parked) == (("100", "44"), {}, [])


async def test_a_replay_accepts_the_currency_that_its_message_names_and_no_later_one(world: World) -> None:
    await agreed(world)
    await in_euros(world, valor_libros="45")
    of_euros = world.bus.queues.pop(PARKED.name)
    world.dynamics.change(world.row(), currency="yens")
    await world.webhook(world.row())
    of_yens, world.bus.queues[PARKED.name] = world.bus.queues.pop(PARKED.name), of_euros
    await world.replay()
    assert (figures(world)[0], set(world.parked)) == (("100", "50"), {f"currency_changed/{name}" for name in FIGURES})
    world.bus.queues[PARKED.name] = of_yens
    await world.replay()
    assert figures(world) == [("100", "45"), ("100", "45")]


async def test_a_currency_that_was_corrected_needs_nobody(world: World) -> None:
    await agreed(world)
    await in_euros(world, valor_libros="45")
    world.dynamics.change(world.row(), currency="dollars")
    await world.webhook(world.row())
    assert (figures(world)[0], (await world.link()).parked) == (("100", "45"), {})


@pytest.mark.parametrize("currency", [None, "dollars"])
async def test_a_currency_that_is_not_known_or_not_changed_holds_nothing(world: World, currency: str | None) -> None:
    await agreed(world)
    world.dynamics.put("A", valor_libros="45")
    world.dynamics.change(world.row(), currency=currency)
    await world.webhook(world.row())
    assert (figures(world)[0], world.parked) == (("100", "45"), [])


async def test_a_word_on_a_restored_side_accepts_no_other_currency(world: World) -> None:
    await agreed(world)
    backup = Backup(world)
    world.dynamics.put("A", valor_libros="61")
    await world.webhook(world.row())
    backup.of_the_cmms()
    world.dynamics.put("A", valor_libros="45")
    world.dynamics.change(world.row(), currency="euros")
    await restored(world, "cmms", backup.at)
    assert (figures(world)[0], set(world.parked)) == (("100", "50"), {f"currency_changed/{name}" for name in FIGURES})
    await world.replay()
    assert figures(world) == [("100", "45"), ("100", "45")]
    assert [(one.lost, one.why) for one in (await world.link()).conflicts] == [("50", "restored")]


async def test_a_replay_of_something_else_accepts_no_other_currency(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="x" * 101)
    await world.dirty()
    world.cmms.put("A", nombre="Nueva")
    world.dynamics.put("A", valor_libros="45")
    world.dynamics.change(world.row(), currency="euros")
    await world.replay()
    assert (figures(world)[0], world.row().values["nombre"]) == (("100", "50"), "Nueva")
    assert set(world.parked) == {f"currency_changed/{name}" for name in FIGURES}


async def test_a_replay_of_something_else_accepts_no_other_currency_that_waits_already(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="x" * 101)
    world.dynamics.put("A", valor_libros="45")
    world.dynamics.change(world.row(), currency="euros")
    await world.dirty()
    world.cmms.put("A", nombre="Nueva")
    await world.replay("mapping_error")
    assert (figures(world)[0], world.row().values["nombre"]) == (("100", "50"), "Nueva")
    await world.replay("currency_changed")
    assert figures(world) == [("100", "45"), ("100", "45")]
