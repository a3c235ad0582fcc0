"""Rule 8: a deletion in the CMMS deactivates the row; a row that is gone, or came back, needs a person."""

import pytest

from shared.domain.model import DynamicsRecord
from shared.errors import RejectedByTarget, Throttled
from tests.flows.conftest import MakeWorld
from tests.flows.test_in_doubt import mapping
from tests.kit.faults import Fault
from tests.kit.world import World


async def agreed(world: World) -> None:
    world.cmms.put("A", nombre="Bomba", valor_libros="10", numero_de_serie=None)
    await world.dirty()


async def test_a_deletion_deactivates_and_only_a_newer_change_brings_the_row_back(world: World) -> None:
    await agreed(world)
    world.cmms.delete()
    await world.dirty()
    assert (world.row().state, (await world.link()).deleted_at is not None) == (1, True)
    await world.dirty()
    assert len(world.dynamics.rows) == 1
    world.cmms.put("A", nombre="De nuevo", valor_libros="10")
    await world.dirty()
    assert (world.row().state, world.row().values["nombre"], (await world.link()).deleted_at) == (0, "De nuevo", None)


@pytest.mark.parametrize("fault", [Throttled("slow down"), "answer lost", "never arrives"])
@pytest.mark.parametrize("one_way", [True, False], ids=["one-way", "two-way"])
async def test_a_row_that_is_met_in_a_deleted_one_s_place_takes_its_values_whatever_befalls_the_write(
    make_world: MakeWorld, one_way: bool, fault: Fault
) -> None:
    world = make_world(mapping=mapping(stamp=True), one_way=one_way)
    world.cmms.put("A", nombre="Bomba")
    await (world.said(world.clock.now(), nombre="Bomba") if one_way else world.dirty())
    deleted = world.dynamics.rows.pop(world.row().id)
    world.dynamics.put("A", nombre="entered by hand")
    world.dynamics.faults.next = [fault]
    await world.webhook(deleted, "delete")
    await world.settle()
    assert [row.values["nombre"] for row in world.dynamics.rows.values()] == ["Bomba"]
    assert (await world.link()).intents == ()


async def test_a_deactivation_without_effect_is_parked_once(world: World) -> None:
    await agreed(world)
    world.cmms.delete()
    world.dynamics.keeps_state = True
    for _ in range(2):
        await world.dirty()
    assert (world.row().state, world.parked) == (0, ["no_effect"])


async def test_a_row_that_takes_no_activation_is_parked_once(world: World) -> None:
    await agreed(world)
    world.cmms.delete()
    await world.dirty()
    world.dynamics.keeps_state = True
    world.cmms.put("A", nombre="De nuevo", valor_libros="10")
    for _ in range(2):
        await world.dirty()
    assert (world.row().state, world.row().values["nombre"], world.parked) == (1, "De nuevo", ["no_effect"])


async def test_a_row_that_a_late_deactivation_reaches_is_made_active_again(world: World) -> None:
    await agreed(world)
    world.cmms.delete()
    world.dynamics.faults.next = ["late"] * 2
    await world.dirty()
    world.cmms.put("A", nombre="De nuevo", valor_libros="10")
    world.dynamics.faults.land()
    await world.settle()
    await world.dirty()
    assert (world.row().state, world.row().values["nombre"]) == (0, "De nuevo")


async def test_a_row_that_is_gone_is_parked_and_not_created_again(world: World) -> None:
    await agreed(world)
    row = world.row()
    world.dynamics.rows.clear()
    await world.webhook(row.id, "delete")
    assert (world.dynamics.rows, world.parked) == ({}, ["gone_from_dynamics"])


async def test_a_row_that_no_message_announced_as_gone_is_first_looked_for(world: World) -> None:
    await agreed(world)
    world.dynamics.rows.clear()
    await world.dirty()
    assert (list(world.attempts), world.parked) == ([1], [])
    await world.settle()
    assert world.parked == ["gone_from_dynamics"]


async def test_an_operator_has_a_row_that_is_gone_made_again_under_its_id(world: World) -> None:
    await agreed(world)
    row = world.row()
    world.dynamics.rows.clear()
    await world.dirty(operation="recreate")
    assert (list(world.dynamics.rows), world.row().values["nombre"]) == ([row.id], "Bomba")


async def test_what_a_row_said_before_it_was_made_again_arrives_late_and_is_on_record(world: World) -> None:
    await agreed(world)
    row = world.dynamics.put("A", nombre="Nueva")
    world.cmms.faults.next = ["late", "late"]
    await world.webhook(row)
    world.later(minutes=3)
    world.dynamics.rows.clear()
    await world.dirty(operation="recreate")
    assert world.row().values["nombre"] == "Bomba"
    world.cmms.faults.land()
    await world.dirty()
    await world.settle()
    assert world.cmms.records["1"].values["nombre"] == world.row().values["nombre"] == "Nueva"
    assert [(one.why, one.lost) for one in (await world.link()).conflicts] == [("first_contact", "Bomba")]


async def test_a_row_that_came_back_is_parked_and_changes_nothing(world: World) -> None:
    await agreed(world)
    created = world.dynamics.writes[0]
    world.later(minutes=1)
    world.cmms.put("A", nombre="Nueva")
    await world.dirty()
    row = world.row()
    world.dynamics.change(row, values={**row.values, **created.values}, created=world.clock.now())
    await world.dirty()
    assert (world.parked, world.cmms.records["1"].values["nombre"]) == (["row_replaced"], "Nueva")


@pytest.mark.parametrize("estado", ["CANCELADO", "PENDIENTE"])
async def test_an_order_s_row_that_a_late_create_makes_again_is_parked_and_changes_nothing(
    make_world: MakeWorld, estado: str
) -> None:
    world = make_world(mapping=mapping(stamp=True))
    world.cmms.put("R", **{**ORDER, "estado": estado})
    world.dynamics.faults.next = ["late"]
    await world.dirty(entity="order")
    await world.settle("order")
    world.cmms.put("R", justificacion="less urgent")
    await world.dirty(entity="order")
    row = world.row("R")
    del world.dynamics.rows[row.id]
    assert [isinstance(one, DynamicsRecord) for one in world.dynamics.faults.land()] == [True]
    await world.dirty(entity="order")
    assert (world.cmms.records["1"].values["estado"], world.parked[-1]) == (estado, "row_replaced")
    assert world.cmms.records["1"].values["justificacion"] == "less urgent"
    await world.dirty(operation="recreate", entity="order")
    await world.settle("order")
    link = await world.link(entity="order")
    assert (link.parked, link.row_id) == ({}, row.id)


async def test_an_operator_takes_a_row_that_came_back_for_new(world: World) -> None:
    await agreed(world)
    world.later(minutes=1)
    world.dynamics.change(world.row(), values={"nombre": "Otra"}, created=world.clock.now())
    await world.dirty(operation="recreate")
    await world.dirty()
    assert (world.row().values["nombre"], world.parked) == ("Bomba", [])
    assert [(one.why, one.lost) for one in (await world.link()).conflicts] == [("first_contact", "Otra")]


async def test_a_row_that_a_person_made_for_a_record_whose_row_is_gone_is_linked(world: World) -> None:
    await agreed(world)
    old = world.row()
    del world.dynamics.rows[old.id]
    new = world.dynamics.put("A", "new", nombre="Bomba", numero_de_serie="S")
    await world.webhook(old.id, "delete")
    assert ((await world.link()).row_id, world.cmms.records["1"].values["numero_de_serie"]) == (new.id, "S")


async def test_a_list_that_leaves_a_known_record_out_deactivates_nothing(world: World) -> None:
    await agreed(world)
    del world.cmms.records["1"]
    await world.dirty()
    await world.settle()
    assert (world.row().state, world.parked) == (0, ["gone_from_cmms"])


async def test_a_message_that_announces_the_deletion_makes_the_absence_count(world: World) -> None:
    await agreed(world)
    del world.cmms.records["1"]
    await world.send("deleted", {"id": "1", "key": "A", "version": world.clock.now().isoformat()})
    assert (world.row().state, world.parked) == (1, [])


async def test_a_row_deleted_before_anybody_knew_it_needs_nothing(world: World) -> None:
    summary = await world.webhook("3117f054-c46e-4b3f-9ec0-feb9b4b6239f", "delete")
    assert (summary.already_true, world.parked) == (1, [])


async def test_nothing_of_a_deleted_record_stays_parked(world: World) -> None:
    world.cmms.put("A", nombre="x" * 101, valor_libros="10", numero_de_serie="S-1")
    world.dynamics.put("A", nombre="Bomba")
    await world.dirty()
    assert (await world.link()).parked.keys() == {"nombre"}
    world.cmms.delete()
    await world.dirty()
    assert (world.row().state, (await world.link()).parked) == (1, {})


ORDER = {"justificacion": "urgent", "total": "10", "estado": "PENDIENTE"}


@pytest.mark.parametrize("cmms_id", ["1", "2"], ids=["the record again", "another record with its key"])
@pytest.mark.parametrize(
    ("estado", "status", "state"), [("CANCELADO", "4", 2), ("PENDIENTE", "2", 0), ("AUTORIZADO", "3", 1)]
)
async def test_the_row_of_a_deleted_record_gets_the_state_that_the_living_one_says(
    world: World, cmms_id: str, estado: str, status: str, state: int
) -> None:
    world.dynamics.opens = True
    world.cmms.put("R", **ORDER)
    await world.dirty(entity="order")
    row = world.row("R")
    world.cmms.delete()
    await world.dirty(entity="order")
    world.later(minutes=1)
    world.cmms.put("R", cmms_id, **{**ORDER, "estado": estado})
    for _ in range(2):
        await world.dirty(cmms_id, entity="order")
        await world.settle("order")
    held, link = world.row("R"), await world.link(cmms_id, entity="order")
    assert (held.id, held.state, held.values["estado"]) == (row.id, state, status)
    assert (link.row_id, link.deleted_at, world.parked) == (row.id, None, [])


@pytest.mark.parametrize("cmms_id", ["1", "2"], ids=["the record again", "another record with its key"])
async def test_a_row_whose_state_is_refused_stays_inactive_until_it_has_another(world: World, cmms_id: str) -> None:
    world.dynamics.opens = True
    world.cmms.put("R", **ORDER)
    await world.dirty(entity="order")
    world.cmms.delete()
    await world.dirty(entity="order")
    world.later(minutes=1)
    world.cmms.put("R", cmms_id, **{**ORDER, "estado": "AUTORIZADO"})
    world.dynamics.faults.next = [RejectedByTarget("not now", field="estado")]
    for _ in range(2):
        await world.dirty(cmms_id, entity="order")
        await world.settle("order")
    assert (world.row("R").state, world.row("R").values["estado"]) == (2, "4")
    assert world.parked == ["rejected_by_target/estado"]
    world.cmms.put("R", cmms_id, estado="PENDIENTE")
    await world.dirty(cmms_id, entity="order")
    await world.settle("order")
    link = await world.link(cmms_id, entity="order")
    assert (world.row("R").state, world.row("R").values["estado"]) == (0, "2")
    assert (link.parked, [one for one in link.conflicts if one.why != "taken_over"]) == ({}, [])


async def test_the_state_of_a_row_that_a_restored_ledger_forgot_stays_on_record(world: World) -> None:
    world.dynamics.opens = True
    row = world.dynamics.put("R", justificacion="urgent", estado="4")
    world.dynamics.change(row, state=2, is_open=False, by_us=True)
    world.cmms.put("R", **ORDER)
    for _ in range(2):
        await world.dirty(entity="order")
        await world.settle("order")
    link = await world.link(entity="order")
    assert (world.row("R").state, world.row("R").values["estado"]) == (0, "2")
    assert [(one.won, one.lost, one.why) for one in link.conflicts if one.field == "estado"] == [
        ("PENDIENTE", "4", "taken_over")
    ]
