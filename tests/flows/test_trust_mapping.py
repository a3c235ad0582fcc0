"""Rule 7, the mapping: a base counts only under the rule of its field by which it was taken."""

import pytest

from shared.domain.messages.events import parse_event
from tests.flows.conditions import agreed, remapped, restarted, restated, unanswered, without
from tests.flows.conftest import MakeWorld
from tests.flows.test_in_doubt import mapping as stamped
from tests.kit.faults import Fault
from tests.kit.world import World


async def test_a_field_under_another_column_meets_for_the_first_time(make_world: MakeWorld, world: World) -> None:
    await agreed(world)
    row = world.row()
    world.dynamics.change(row, values={**row.values, "numero_de_serie": None})
    again = restarted(make_world, world, remapped(numero_de_serie="msdyn_other"))
    again.cmms.put("A", nombre="Nueva")
    await again.dirty()
    assert again.cmms.records["1"].values["numero_de_serie"] == again.row().values["numero_de_serie"] == "S"


async def test_values_of_two_swapped_columns_are_conflicts_on_record(make_world: MakeWorld, world: World) -> None:
    await agreed(world)
    row = world.row()
    world.dynamics.change(row, values={**row.values, "numero_de_serie": "Bomba", "nombre": "S"})
    again = restarted(make_world, world, remapped(numero_de_serie="msdyn_name", nombre="msdyn_serialid"))
    await again.dirty()
    record = again.cmms.records["1"].values
    assert (record["nombre"], record["numero_de_serie"]) == ("Bomba", "S")
    assert {one.field: one.lost for one in (await again.link()).conflicts} == {
        "nombre": "S",
        "numero_de_serie": "Bomba",
    }


@pytest.mark.parametrize("late", [pytest.param(False, id="answer lost"), pytest.param(True, id="late")])
@pytest.mark.parametrize("edited", [pytest.param(False, id="unedited"), pytest.param(True, id="edited since")])
@pytest.mark.parametrize("creates", [pytest.param(False, id="update"), pytest.param(True, id="create")])
async def test_a_write_in_doubt_under_an_earlier_mapping_erases_nothing(
    make_world: MakeWorld, *, late: bool, edited: bool, creates: bool
) -> None:
    world = make_world(mapping=stamped(stamp=True))
    if not creates:
        await agreed(world)
    world.cmms.put("A", nombre="Bomba", numero_de_serie="nueva")
    await unanswered(world, "late" if late else "answer lost")
    world.dynamics.faults.land()
    # The other column holds nothing yet.
    row = world.dynamics.change(world.row(), values={**world.row().values, "numero_de_serie": None})
    if edited:
        world.dynamics.put("A", nombre="Editada")
    again = restarted(make_world, world, remapped(numero_de_serie="msdyn_other"))
    await again.webhook(row)
    await again.settle()
    values = again.cmms.records["1"].values
    assert (values["numero_de_serie"], again.row().values["numero_de_serie"]) == ("nueva", "nueva")
    assert (await again.link()).conflicts == ()


@pytest.mark.parametrize(
    "faults",
    [pytest.param(["answer lost"], id="in doubt"), pytest.param([], id="another state is still to be written")],
)
async def test_the_state_that_a_row_is_born_with_is_nobodys_under_corrected_states_as_well(
    make_world: MakeWorld, faults: list[Fault]
) -> None:
    world = make_world(mapping=stamped(stamp=True))
    world.cmms.put("R", justificacion="urgent", estado="AUTORIZADO")
    await unanswered(world, *faults, entity="order")
    assert world.row("R").values["estado"] == "1"
    again = restarted(make_world, world, restated())
    await again.dirty(entity="order")
    await again.settle("order")
    held = (again.cmms.records["1"].values["estado"], again.row("R").values["estado"], again.row("R").state)
    assert (held, (await again.link(entity="order")).conflicts) == (("AUTORIZADO", "3", 1), ())


async def test_a_write_in_doubt_of_a_field_that_is_no_longer_mapped_is_settled(make_world: MakeWorld) -> None:
    world = make_world(mapping=stamped(stamp=True))
    await agreed(world)
    world.cmms.put("A", numero_de_serie="nueva")
    await unanswered(world, "answer lost")
    again = restarted(make_world, world, without("numero_de_serie"))
    await again.dirty()
    await again.settle()
    link = await again.link()
    assert (link.intents, "numero_de_serie" in link.bases, again.parked) == ((), False, [])


@pytest.mark.parametrize("fault", ["answer lost", "never arrives"])
async def test_a_create_in_doubt_of_a_row_whose_state_is_no_longer_mapped_is_settled(
    make_world: MakeWorld, fault: Fault
) -> None:
    world = make_world(mapping=stamped(stamp=True))
    world.cmms.put("R", justificacion="urgent", estado="AUTORIZADO")
    await unanswered(world, fault, entity="order")
    again = restarted(make_world, world, without("estado", "order"))
    await again.dirty(entity="order")
    await again.settle("order")
    link = await again.link(entity="order")
    assert (again.row("R").id, link.intents, "estado" in link.bases, again.parked) == (link.row_id, (), False, [])


async def test_a_create_in_doubt_is_repeated_without_what_has_another_rule_by_then(make_world: MakeWorld) -> None:
    world = make_world(mapping=stamped(stamp=True))
    world.cmms.put("A", nombre="Bomba", numero_de_serie="S")
    await unanswered(world, "never arrives")
    again = restarted(make_world, world, remapped(numero_de_serie="msdyn_other"))
    await again.dirty()
    first, repeat, later = again.dynamics.writes
    assert (repeat.id, set(first.values) - set(repeat.values)) == (first.id, {"numero_de_serie"})
    assert (later.values, (await again.link()).conflicts) == ({"numero_de_serie": "S"}, ())


async def test_a_message_of_an_entity_that_is_not_mapped_is_parked_with_its_key(
    make_world: MakeWorld, world: World
) -> None:
    found = world.mapping
    only_orders = found.model_copy(update={"entities": {"order": found.entities["order"]}})
    await agreed(world)
    bare = restarted(make_world, world, only_orders)
    await bare.said(bare.clock.now(), nombre="Nueva")
    (message,) = bare.bus.queues["parked"]
    event = parse_event(message.body)
    assert (message.properties["key"], message.properties["correlation_id"], bare.parked) == (
        "A",
        event.id,
        ["invalid_message"],
    )


async def test_a_message_that_cannot_be_read_is_parked_whatever_is_mapped(make_world: MakeWorld, world: World) -> None:
    found = world.mapping
    only_orders = found.model_copy(update={"entities": {"order": found.entities["order"]}})
    bare = restarted(make_world, world, only_orders)
    await bare.sync.handle("asset", [b"\xff"])
    assert [message.body for message in bare.bus.queues["parked"]] == [b"\xff"]
