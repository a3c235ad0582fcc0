"""The rules of the sync engine, each by the smallest play that shows it. The simulation plays them all together."""

from copy import replace

import pytest

from shared.domain.messages.events import Event
from shared.errors import Conflict, Unavailable
from shared.flows.sync.execute import INTENT_LIFE
from tests.kit.faults import Fault
from tests.kit.world import World


class Death(BaseException):
    """The worker's, between its announcement and its write."""


async def agreed(world: World, **values: str | None) -> None:
    """An asset A that both sides hold alike."""
    known: dict[str, str | None] = {"nombre": "Bomba", "valor_libros": "10", **values}
    world.cmms.put("A", "1", **known)
    await world.dirty()
    world.dynamics.writes.clear()
    world.calls.clear()


async def test_the_ledger_is_read_before_either_side_and_written_before_any_write(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    await world.dirty()
    assert world.calls[0] == "ledger read"
    assert {"cmms by id"} == set(world.calls[1:2])
    assert world.calls.index("ledger write") < world.calls.index("dynamics write")


@pytest.mark.parametrize("named", [{}, {"key": "A"}], ids=["by its id", "with its key beside it"])
async def test_an_echo_costs_one_read_of_each_and_no_write(world: World, named: dict[str, str]) -> None:
    await agreed(world)
    await world.send("dirty", {"record_id": world.row().id, "operation": "update", **named})
    assert sorted(world.calls) == ["cmms by id", "dynamics by id", "ledger read"]


async def test_rounding_by_a_side_is_no_edit(world: World) -> None:
    await agreed(world)
    world.dynamics.becomes["nombre"] = "BOMBA DE AGUA"
    world.cmms.put("A", nombre="Bomba de agua")
    await world.dirty()
    world.dynamics.writes.clear()
    assert (await world.webhook(world.row())).already_true == 1
    assert (world.dynamics.writes, world.cmms.writes, world.parked) == ([], [], [])


async def test_each_side_s_edit_reaches_the_other(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="Del CMMS")
    world.dynamics.put("A", valor_libros="99")
    await world.dirty()
    assert (world.row().values["nombre"], world.row().values["valor_libros"]) == ("Del CMMS", "99")
    assert world.cmms.records["1"].values["valor_libros"] == "99"
    assert (await world.link()).conflicts == ()


async def test_a_conflict_follows_the_rule_and_keeps_the_loser(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="Del CMMS", valor_libros="1")
    world.dynamics.put("A", nombre="From Dynamics", valor_libros="2")
    await world.dirty()
    assert (world.row().values["nombre"], world.cmms.records["1"].values["valor_libros"]) == ("Del CMMS", "2")
    lost = {conflict.field: conflict.lost for conflict in (await world.link()).conflicts}
    assert lost == {"nombre": "From Dynamics", "valor_libros": "1"}


async def test_the_loser_is_on_record_before_it_is_replaced(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="Del CMMS")
    world.dynamics.put("A", nombre="From Dynamics")
    world.dynamics.faults.next = ["never arrives"] * 3
    await world.dirty()
    assert [conflict.lost for conflict in (await world.link()).conflicts] == ["From Dynamics"]


async def test_an_update_carries_the_etag_as_read_and_only_differences(world: World) -> None:
    await agreed(world)
    before = world.row().etag
    world.cmms.put("A", nombre="Nueva")
    await world.dirty()
    (write,) = world.dynamics.writes
    assert (write.etag, write.values) == (before, {"nombre": "Nueva"})


def _dirty(cmms_id: str) -> bytes:
    return Event(source="/t", type="sync.asset.dirty", data={"cmms_id": cmms_id}).to_json().encode()


async def test_another_worker_s_live_intent_is_waited_for_by_seconds_and_a_batch_comes_back_as_one(
    world: World,
) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="Nueva")
    plan_ahead = world.dynamics.write

    async def dying(*arguments: object) -> object:
        raise Death

    world.dynamics.write = dying  # type: ignore[method-assign,assignment]
    with pytest.raises(Death):
        await world.dirty()
    world.dynamics.write = plan_ahead  # type: ignore[method-assign]
    assert (await world.sync.handle("asset", [_dirty("1")] * 5)).retried == 5
    (again,) = {copy.scheduled_at for copy in world.bus.queues["assets"]}
    assert again is not None
    assert (again - world.clock.now()).total_seconds() <= 1
    await world.settle()
    assert world.row().values["nombre"] == "Nueva"
    assert world.clock.monotonic() <= INTENT_LIFE.total_seconds() + 1


async def test_rounding_to_the_value_that_was_there_is_agreement(world: World) -> None:
    await agreed(world, valor_adquisicion="1.23")
    world.cmms.put("A", valor_adquisicion="1.23")
    world.dynamics.put("A", valor_adquisicion="1.2")
    world.dynamics.becomes["valor_adquisicion"] = "1.2"
    await world.dirty()
    assert world.parked == []


@pytest.mark.parametrize(
    ("down", "spared"), [("cmms", {"dynamics by id", "dynamics by key"}), ("dynamics", {"cmms by id", "cmms by key"})]
)
async def test_while_one_side_is_down_the_other_is_not_asked_in_vain(world: World, down: str, spared: set[str]) -> None:
    await agreed(world)
    (world.cmms if down == "cmms" else world.dynamics).faults.away = Unavailable("away")
    world.calls.clear()
    await world.dirty()
    assert world.calls.count(f"{down} by id") > 1
    assert spared.isdisjoint(world.calls)


async def test_while_the_cmms_is_down_a_new_row_is_not_read_in_vain(world: World) -> None:
    row = world.dynamics.put("A", nombre="Bomba")
    world.cmms.faults.away = Unavailable("away")
    world.calls.clear()
    await world.send("dirty", {"record_id": row.id, "key": "A", "operation": "create"})
    assert world.calls.count("cmms by key") > 1
    assert {"dynamics by id", "dynamics by key"}.isdisjoint(world.calls)


async def test_one_batch_gives_each_message_its_own_outcome(world: World) -> None:
    await agreed(world)
    world.cmms.put("B", "2", nombre="Nueva")
    summary = await world.sync.handle("asset", [_dirty("1"), _dirty("2"), _dirty("2"), b"\xff", b"", b"{}"])
    assert (summary.already_true, summary.applied, summary.parked) == (1, 2, 3)


async def test_no_round_is_begun_that_could_outlive_the_lock_of_its_messages(world: World) -> None:
    await agreed(world)
    world.cmms.put("A", nombre="Nueva")
    world.dynamics.faults.next = [Conflict("changed") for _ in range(5)]
    world.dynamics.faults.meanwhile = lambda: world.later(seconds=140)
    await world.dirty()
    assert len(world.dynamics.writes) == 1


async def test_a_state_that_a_row_is_born_with_is_nobody_s_and_gives_way(world: World) -> None:
    world.cmms.put("O", estado="AUTORIZADO", justificacion="x")
    await world.dirty(entity="order")
    row = world.row("O")
    assert (row.values["estado"], (await world.link(entity="order")).conflicts) == ("3", ())


async def test_a_closed_row_that_the_cmms_reopens_takes_its_other_edits_too(world: World) -> None:
    world.cmms.put("O", estado="BORRADOR", justificacion="x")
    await world.dirty(entity="order")
    world.dynamics.rows[world.row("O").id] = replace(world.row("O"), is_open=False)
    await world.dirty(entity="order")
    world.cmms.put("O", estado="PENDIENTE", justificacion="y")
    world.dynamics.opens = True
    await world.dirty(entity="order")
    assert (world.row("O").values["justificacion"], world.parked) == ("y", [])


@pytest.mark.parametrize("fault", [None, "answer lost", "never arrives"])
async def test_a_closed_row_changes_its_state_though_it_cannot_show_the_operation(
    world: World, fault: Fault | None
) -> None:
    world.cmms.put("O", estado="AUTORIZADO", justificacion="x")
    await world.dirty(entity="order")
    world.dynamics.change(world.row("O"), is_open=False)
    world.cmms.put("O", estado="CANCELADO")
    world.dynamics.faults.next = [fault] if fault else []
    await world.dirty(entity="order")
    await world.settle("order")
    link = await world.link(entity="order")
    assert (world.row("O").values["estado"], world.parked, link.conflicts, link.intents) == ("4", [], (), ())


@pytest.mark.parametrize(("prefer", "kept", "lost"), [("cmms", "Bomba", "Pump"), ("dynamics", "Pump", "Bomba")])
async def test_the_side_that_a_message_prefers_counts_at_first_contact(
    world: World, prefer: str, kept: str, lost: str
) -> None:
    world.cmms.put("A", nombre="Bomba")
    world.dynamics.put("A", nombre="Pump")
    await world.send("dirty", {"cmms_id": "1", "prefer": prefer})
    assert (world.cmms.records["1"].values["nombre"], world.row().values["nombre"]) == (kept, kept)
    assert [(one.lost, one.why) for one in (await world.link()).conflicts] == [(lost, "first_contact")]


async def test_a_choice_counts_until_its_field_is_agreed_whichever_message_ends_that(world: World) -> None:
    world.cmms.put("A", nombre="Bomba", numero_de_serie="S")
    row = world.dynamics.put("A", nombre="Pump", numero_de_serie=None)
    world.cmms.faults.next = [Unavailable("busy")]
    await world.send("dirty", {"cmms_id": "1", "prefer_fields": {"nombre": "dynamics"}})
    world.bus.queues.clear()  # its own message is tried again later than the row's webhook comes
    await world.webhook(row)
    await world.settle()
    assert (world.cmms.records["1"].values["nombre"], world.row().values["nombre"]) == ("Pump", "Pump")
    assert [(one.winner, one.lost) for one in (await world.link()).conflicts] == [("dynamics", "Bomba")]
    world.cmms.put("A", nombre="Motor")
    world.dynamics.put("A", row.id, nombre="Engine")
    await world.dirty()
    assert (world.row().values["nombre"], (await world.link()).chosen) == ("Motor", {})
