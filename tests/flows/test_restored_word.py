"""An operator's word that a side was restored: how it is stored, and what it outlives."""

from copy import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.link import Identity, Restored
from shared.domain.model import BadValue, CmmsRecord, DynamicsRecord, Record, without
from shared.errors import MappingError, RejectedByTarget, Unavailable
from tests.flows.conftest import MakeWorld
from tests.flows.restoring import Backup, agreed, look, restore_of, restored, values
from tests.flows.test_in_doubt import mapping as stamped
from tests.kit.faults import Fault
from tests.kit.world import World


def put_as_it_is(world: World, shown: Record) -> None:
    """A side shows record A as it is here."""
    if isinstance(shown, CmmsRecord):
        world.cmms.records["1"] = replace(shown, etag=f'"{world.clock.now()}{len(shown.errors)}"')
    elif isinstance(shown, DynamicsRecord):
        world.dynamics.change(shown)


@pytest.mark.parametrize("side", ["dynamics", "cmms"])
async def test_an_edit_beside_an_unusable_value_of_the_counting_side_is_on_record_once_it_is_replaced(
    world: World, side: Restored
) -> None:
    row = world.dynamics.put("A", nombre="Bomba", valor_libros="10")
    await world.webhook(row, "create")
    backup = Backup(world)
    world.cmms.put("A", valor_libros="11")
    await world.dirty()
    world.dynamics.put("A", valor_libros="12")
    await world.webhook(row)
    (backup.of_dynamics if side == "dynamics" else backup.of_the_cmms)()
    sides = (world.dynamics, world.cmms) if side == "dynamics" else (world.cmms, world.dynamics)
    sides[0].put("A", nombre="Editada")
    sides[1].put("A", nombre="x" * 101)
    await restored(world, side, backup.at)
    sides[1].put("A", nombre="Nueva")
    await world.dirty()
    assert values(world) == {"nombre": ("Nueva", "Nueva"), "valor_libros": ("12", "12")}
    assert ("nombre", "Editada", "restored") in {
        (one.field, one.lost, one.why) for one in (await world.link()).conflicts
    }


@pytest.mark.parametrize("reason", ["no_effect", "rejected_by_target"])
async def test_one_way_a_field_that_takes_no_write_after_a_word_stays_parked_whichever_message_comes(
    one_way: World, reason: str
) -> None:
    world = one_way
    await world.said(world.clock.now(), nombre="Bomba", numero_de_serie="S")
    backup = Backup(world)
    await world.said(world.clock.now(), numero_de_serie="T")
    backup.of_dynamics()
    if reason == "no_effect":
        world.dynamics.silent = {"numero_de_serie"}
    else:
        world.dynamics.refused = "numero_de_serie"
    await restored(world, "dynamics", backup.at)
    for name in ("Nueva", "Otra"):
        world.later(minutes=1)
        await world.said(world.clock.now(), nombre=name)
        assert {name: one.reason for name, one in (await world.link()).parked.items()} == {"numero_de_serie": reason}
    assert (world.parked, world.row().values["numero_de_serie"]) == ([f"{reason}/numero_de_serie"], "S")
    world.dynamics.silent, world.dynamics.refused = set(), ""
    await world.replay()
    link = await world.link()
    assert (world.row().values["numero_de_serie"], link.parked) == ("T", {})
    assert ("numero_de_serie", "S", "restored") in {(one.field, one.lost, one.why) for one in link.conflicts}


async def test_one_way_what_was_agreed_before_this_mode_and_takes_no_write_after_a_word_stays_said(
    world: World,
) -> None:
    backup = await agreed(world)
    world.cmms.put("A", numero_de_serie="T")
    await world.dirty()
    world.choose(one_way=True)
    backup.of_dynamics()
    world.dynamics.silent = {"numero_de_serie"}
    await restored(world, "dynamics", backup.at)
    await world.said(world.clock.now(), nombre="Nueva")
    assert (set((await world.link()).parked), world.parked) == ({"numero_de_serie"}, ["no_effect/numero_de_serie"])
    world.dynamics.silent = set()
    await world.replay()
    assert (world.row().values["numero_de_serie"], (await world.link()).parked) == ("T", {})


@pytest.mark.parametrize(("side", "name"), [("dynamics", "valor_libros"), ("cmms", "numero_de_serie")])
async def test_a_backup_s_value_is_no_edit_once_the_counting_side_can_be_read_again(
    world: World, side: Restored, name: str
) -> None:
    backup = await agreed(world)
    world.cmms.put("A", **{name: "11"})
    await world.dirty()
    (backup.of_dynamics if side == "dynamics" else backup.of_the_cmms)()
    counting = world.cmms.records["1"] if side == "dynamics" else world.row()
    unreadable = {name: BadValue(MappingError("unreadable", field=name), "d")}
    bad = replace(counting, values=without(counting.values, {name}), errors=unreadable)
    put_as_it_is(world, bad)
    await restored(world, side, backup.at)
    assert world.parked == [f"mapping_error/{name}"]
    put_as_it_is(world, replace(bad, values={**bad.values, name: "12"}, errors={}))
    await world.dirty()
    assert values(world)[name] == ("12", "12")
    assert [(one.field, one.why) for one in (await world.link()).conflicts] == [(name, "restored")]


@pytest.mark.parametrize("fault", ["answer lost", "never arrives", RejectedByTarget("not now", field="nombre")])
async def test_a_word_on_a_restored_side_outlives_a_write_that_fails(world: World, fault: Fault) -> None:
    backup = await agreed(world)
    world.dynamics.put("A", nombre="Nueva")
    await world.webhook(world.row())
    backup.of_dynamics()
    world.dynamics.faults.next = [fault]
    await restored(world, "dynamics", backup.at)
    await world.dirty()
    await world.settle()
    assert world.cmms.records["1"].values["nombre"] == "Nueva"
    assert world.row().values["nombre"] == ("Bomba" if isinstance(fault, Exception) else "Nueva")


async def test_the_word_counts_for_whichever_message_comes_first_and_once(world: World) -> None:
    backup = await agreed(world)
    world.dynamics.put("A", nombre="Nueva")
    await world.webhook(world.row())
    backup.of_dynamics()
    taken = await look(world, "dynamics", backup.at)
    await restore_of(world).settle(taken, "dynamics", rate=1e6)
    await world.webhook(world.row())
    assert values(world)["nombre"] == ("Nueva", "Nueva")
    world.dynamics.put("A", nombre="Edited later")
    await world.webhook(world.row())
    await world.settle()
    assert values(world)["nombre"] == ("Edited later", "Edited later")


async def test_records_are_settled_at_most_at_the_rate(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    backup = Backup(world)
    for number in range(4):
        world.cmms.put(f"K{number}", str(number), nombre="Bomba")
        await world.dirty(str(number))
    backup.of_dynamics()
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        world.clock.advance(timedelta(seconds=seconds))

    monkeypatch.setattr(world.clock, "sleep", sleep)
    taken = await look(world, "dynamics", backup.at)
    await restore_of(world).settle(taken, "dynamics", rate=2)
    assert waits == [0.0, 1.0]


async def test_a_link_that_changes_meanwhile_is_marked_as_it_is_then(make_world: MakeWorld) -> None:
    world = make_world(mapping=stamped(stamp=True))
    backup = await agreed(world)
    world.dynamics.put("A", nombre="Nueva")
    await world.webhook(world.row())
    backup.of_dynamics()
    taken = await look(world, "dynamics", backup.at)
    once = [True]
    write = world.ledger.write

    async def raced(entity: str, links: Any) -> Any:
        if once and once.pop():
            return [None for _ in links]
        return await write(entity, links)  # type: ignore[no-untyped-call]

    world.ledger.write = raced  # type: ignore[method-assign]
    await restore_of(world).settle(taken, "dynamics", rate=1e6)
    assert (await world.link()).restored == "dynamics"


async def test_a_word_on_a_restored_ledger_makes_nobody_s_value_of_the_state_that_a_row_is_born_with(
    make_world: MakeWorld,
) -> None:
    world = make_world(mapping=stamped(stamp=True))
    world.cmms.put("O", estado="AUTORIZADO", justificacion="x")
    world.dynamics.faults.next = ["answer lost"]
    world.dynamics.faults.meanwhile = lambda: setattr(world.dynamics.faults, "away", Unavailable("away"))
    await world.dirty(entity="order")
    world.dynamics.faults.away = None
    identity = Identity("cmms", "1")
    stored = (await world.ledger.find("order", [identity]))[identity]  # type: ignore[no-untyped-call]
    told = stored.model_copy(update={"link": stored.link.model_copy(update={"restored": "ledger"})})
    await world.ledger.write("order", [told])  # type: ignore[no-untyped-call]
    await world.dirty(entity="order")
    await world.settle("order")
    assert world.cmms.records["1"].values["estado"] == "AUTORIZADO"
    assert world.row("O").state == 1
    assert (await world.link(entity="order")).conflicts == ()


@pytest.mark.parametrize(("side", "last"), [("dynamics", "Bomba"), ("cmms", "Nueva")])
async def test_what_a_restored_side_said_before_the_word_arrives_late_and_is_on_record(
    make_world: MakeWorld, side: Restored, last: str
) -> None:
    world = make_world(mapping=stamped(stamp=True))
    await agreed(world)
    edited, written = (world.dynamics, world.cmms) if side == "dynamics" else (world.cmms, world.dynamics)
    edited.put("A", nombre="Nueva")
    backup = Backup(world)
    written.faults.next = ["late", "late"]
    await world.dirty()
    world.later(minutes=3)
    (backup.of_dynamics if side == "dynamics" else backup.of_the_cmms)()
    await restore_of(world).settle(await look(world, side, backup.at), side, rate=1e6)
    await world.dirty()
    assert values(world)["nombre"] == ("Bomba", "Bomba")
    written.faults.land()
    await world.dirty()
    await world.settle()
    conflicts = [(one.why, one.lost) for one in (await world.link()).conflicts]
    assert conflicts == [("restored", "Nueva"), ("first_contact", last)]
