"""Rule 7, values: what cannot be read is not said, and what a side makes of a write is no edit."""

from copy import replace

import pytest

from shared.domain.model import BadValue
from shared.errors import MappingError
from tests.flows.conditions import agreed
from tests.flows.conftest import MakeWorld
from tests.kit.world import World


async def test_a_column_that_our_user_may_not_read_is_not_said_and_erases_nothing(world: World) -> None:
    await agreed(world)
    world.dynamics.secured = {"numero_de_serie"}
    world.dynamics.put("A", nombre="Editada")
    await world.webhook(world.row())
    values = world.cmms.records["1"].values
    assert (values["numero_de_serie"], values["nombre"], world.parked) == ("S", "Editada", [])


async def test_a_column_that_can_be_read_and_was_emptied_is_an_edit(world: World) -> None:
    await agreed(world)
    world.dynamics.put("A", numero_de_serie=None)
    await world.webhook(world.row())
    assert world.cmms.records["1"].values["numero_de_serie"] is None


async def test_a_column_that_was_never_read_is_not_written_over(world: World) -> None:
    world.dynamics.secured = {"numero_de_serie"}
    world.cmms.put("A", nombre="Bomba")
    row = world.dynamics.put("A", nombre="Bomba", numero_de_serie="entered by hand")
    await world.dirty()
    world.cmms.put("A", numero_de_serie="S")
    await world.dirty()
    await world.settle()
    assert (world.dynamics.rows[row.id].values["numero_de_serie"], world.parked) == ("entered by hand", [])


async def test_a_column_whose_value_was_never_agreed_is_not_written_over(make_world: MakeWorld) -> None:
    world = make_world(one_way=True)
    world.dynamics.put("A", nombre="Bomba", valor_libros="9")
    await world.said(world.clock.now(), nombre="Bomba", valor_libros="4")
    assert "valor_libros" not in (await world.link()).bases  # Dynamics wins, and the CMMS cannot be told
    world.dynamics.secured = {"valor_libros"}
    world.later(minutes=1)
    await world.said(world.clock.now(), nombre="Motor", valor_libros="5")
    world.dynamics.secured = set()
    assert (world.row().values["nombre"], world.row().values["valor_libros"]) == ("Motor", "9")


@pytest.mark.parametrize("known", [True, False], ids=["empty on both sides before", "first contact"])
@pytest.mark.parametrize("one_way", [True, False], ids=["one-way", "two-way"])
async def test_what_was_entered_in_a_column_that_cannot_be_read_is_not_written_over(
    make_world: MakeWorld, one_way: bool, known: bool
) -> None:
    world = make_world(one_way=one_way)

    async def say(**values: str) -> None:
        if one_way:
            world.later(minutes=1)
            await world.said(world.clock.now(), **values)
        else:
            world.cmms.put("A", "1", **values)
            await world.dirty()
        await world.settle()

    if known:
        await say(nombre="Bomba")
    world.dynamics.secured = {"numero_de_serie"}
    world.dynamics.put("A", nombre="Bomba", numero_de_serie="entered by hand")
    await say(nombre="Motor", numero_de_serie="S")
    row = world.row().values
    assert (row["nombre"], row["numero_de_serie"], world.parked) == ("Motor", "entered by hand", [])


async def test_a_null_that_nobody_may_read_is_not_agreed_on_where_the_cmms_is_empty_as_well(world: World) -> None:
    world.dynamics.secured = {"numero_de_serie"}
    world.cmms.put("A", nombre="Bomba", numero_de_serie="S")
    await world.dirty()
    world.cmms.put("A", numero_de_serie=None)
    for _ in range(2):
        await world.dirty()
    assert "numero_de_serie" not in (await world.link()).bases
    world.dynamics.secured = set()
    world.cmms.put("A", numero_de_serie="T")
    await world.dirty()
    assert world.row().values["numero_de_serie"] == "T"
    assert [(one.lost, one.why) for one in (await world.link()).conflicts] == [("S", "first_contact")]


async def test_rounding_beside_a_refused_field_is_no_edit(world: World) -> None:
    await agreed(world)
    world.dynamics.becomes["valor_libros"] = "10.1"
    world.dynamics.refused = "numero_de_serie"
    world.cmms.put("A", valor_libros="10.11", numero_de_serie="T")
    await world.dirty()
    await world.settle()
    assert (world.cmms.records["1"].values["valor_libros"], world.parked) == (
        "10.11",
        ["rejected_by_target/numero_de_serie"],
    )
    assert (await world.link()).conflicts == ()


async def test_a_field_whose_value_no_side_has_in_a_usable_form_is_parked_once(world: World) -> None:
    await agreed(world)
    bad = {"valor_libros": BadValue(MappingError("valor_libros: 10.5 is no whole number."), "digest")}
    others = {"nombre": "Bomba", "numero_de_serie": "S"}
    world.dynamics.change(world.row(), values=others, errors=bad)
    world.cmms.records["1"] = replace(world.cmms.records["1"], values=others, errors=bad)
    for _ in range(3):
        await world.dirty()
    assert world.parked == ["mapping_error"]
