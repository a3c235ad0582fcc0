"""`ops restored`: what a restored backup took back comes from the side that counts, and no value is lost unrecorded."""

from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any, cast

import pytest

from shared.domain.link import Identity, Restored
from shared.domain.messages.queues import PARKED
from shared.errors import RejectedByTarget, SyncError, Unavailable
from shared.flows.operate.restored import Restore, Taken
from tests.flows.conftest import MakeWorld
from tests.flows.test_in_doubt import mapping as stamped
from tests.kit.faults import Fault
from tests.kit.world import World

ORDER = {"justificacion": "urgent", "total": "10", "estado": "PENDIENTE"}


def restore_of(world: World) -> Restore:
    cmms = None if world.one_way else cast("Any", world.cmms)
    dynamics = cast("Any", world.dynamics)
    return Restore(ledger=world.ledger, dynamics=dynamics, cmms=cmms, router=world.router, clock=world.clock)


async def look(world: World, side: Restored, at: datetime, entity: str = "asset") -> Taken:
    return await restore_of(world).look(world.mapping.entities[entity], side, at)


async def restored(world: World, side: Restored, at: datetime, entity: str = "asset") -> Taken:
    """What the command does, and then the engine."""
    taken = await look(world, side, at, entity)
    await restore_of(world).settle(taken, side, rate=1e6)
    await world.settle(entity)
    return taken


class Backup:
    """Yesterday's state of one side."""

    def __init__(self, world: World) -> None:
        self.world, self.at = world, world.clock.now()
        self._rows, self._records = deepcopy(world.dynamics.rows), deepcopy(world.cmms.records)
        world.later(days=1)

    def of_dynamics(self) -> None:
        self.world.dynamics.rows = self._rows

    def of_the_cmms(self) -> None:
        self.world.cmms.records = self._records


async def agreed(world: World) -> Backup:
    world.cmms.put("A", nombre="Bomba", numero_de_serie="S", valor_libros="10")
    await world.dirty()
    return Backup(world)


def values(world: World) -> dict[str, tuple[str | None, str | None]]:
    """Each field that has a value, on both sides."""
    record, row = world.cmms.records["1"].values, world.row().values
    return {name: (record.get(name), row.get(name)) for name in record if record.get(name) or row.get(name)}


async def test_after_dynamics_was_restored_the_cmms_counts_and_the_losers_are_on_record(world: World) -> None:
    backup = await agreed(world)
    world.dynamics.put("A", nombre="Nueva", valor_libros="12")
    await world.webhook(world.row())
    world.cmms.put("A", numero_de_serie=None)
    await world.dirty()
    backup.of_dynamics()
    taken = await restored(world, "dynamics", backup.at)
    assert values(world) == {"nombre": ("Nueva", "Nueva"), "valor_libros": ("12", "12")}
    link = await world.link()
    assert {(one.field, one.lost, one.why) for one in link.conflicts} == {
        ("nombre", "Bomba", "restored"),
        ("valor_libros", "10", "restored"),
        ("numero_de_serie", "S", "restored"),
    }
    assert (link.restored, world.parked, set(taken.keys)) == (None, [], {"A"})
    assert {(name, what): one.count for (name, what), one in taken.effects.items()} == dict.fromkeys(
        [
            (name, "written to Dynamics, the other value recorded")
            for name in ("nombre", "numero_de_serie", "valor_libros")
        ],
        1,
    )


async def test_after_the_cmms_was_restored_dynamics_counts_whatever_the_direction(world: World) -> None:
    world.cmms.put("R", **ORDER)
    await world.dirty(entity="order")
    backup = Backup(world)
    world.cmms.put("R", justificacion="less urgent", total="11")
    await world.dirty(entity="order")
    backup.of_the_cmms()
    await restored(world, "cmms", backup.at, "order")
    record = world.cmms.records["1"].values
    assert (record["justificacion"], record["total"]) == ("less urgent", "11")
    link = await world.link(entity="order")
    assert {(one.field, one.lost) for one in link.conflicts} == {("justificacion", "urgent"), ("total", "10")}
    assert (link.restored, world.parked) == (None, [])


async def test_a_key_of_the_restored_cmms_goes_to_dynamics_with_the_lost_one_on_record(world: World) -> None:
    backup = await agreed(world)
    world.cmms.put("B", nombre="Nueva")
    await world.dirty()
    backup.of_the_cmms()
    await restored(world, "cmms", backup.at)
    assert (world.row("A").values["nombre"], world.cmms.records["1"].values["nombre"]) == ("Nueva", "Nueva")
    assert ("codigo_interno", "B") in {(one.field, one.lost) for one in (await world.link()).conflicts}


async def test_what_was_parked_before_a_record_was_renamed_is_sent_again_with_it(world: World) -> None:
    backup = await agreed(world)
    world.dynamics.put("A", nombre="Nueva")
    await world.webhook(world.row())
    backup.of_dynamics()
    await world.webhook(world.row())
    await world.settle()
    world.cmms.put("B")
    parked = {message.properties["key"] for message in world.bus.queues[PARKED.name]}
    assert (world.parked, parked) == (["went_back"], {"A"})
    assert (await look(world, "dynamics", backup.at)).keys == {"A", "B"}


async def test_a_row_that_was_made_since_the_backup_is_made_again_under_its_id(world: World) -> None:
    backup = Backup(world)
    world.cmms.put("A", nombre="Bomba")
    await world.dirty()
    made = world.row().id
    backup.of_dynamics()
    await restored(world, "dynamics", backup.at)
    assert (world.row().id, world.row().values["nombre"]) == (made, "Bomba")
    assert (await world.link()).restored is None


async def test_a_record_that_was_made_since_the_backup_is_made_again_under_a_new_id(world: World) -> None:
    backup = Backup(world)
    row = world.dynamics.put("A", nombre="Pump", numero_de_serie="S")
    await world.webhook(row, "create")
    lost = (await world.link(row.id, "row")).cmms_id
    backup.of_the_cmms()
    world.cmms.put("Z", "9", nombre="Other")  # so that the next id is another one
    taken = await restored(world, "cmms", backup.at)
    made = (await world.link(row.id, "row")).cmms_id or ""
    assert (taken.lost, made != lost) == ({Identity("row", row.id): "A"}, True)
    assert world.cmms.records[made].values["numero_de_serie"] == "S"


async def test_a_lost_record_is_made_again_of_a_row_that_we_wrote(make_world: MakeWorld) -> None:
    world = make_world(mapping=stamped(stamp=True))
    backup = Backup(world)
    world.cmms.put("A", nombre="Pump")
    await world.dirty()
    backup.of_the_cmms()
    world.cmms.put("Z", "9", nombre="Other")  # so that the next id is another one
    taken = await restored(world, "cmms", backup.at)
    link = await world.link(world.row().id, "row")
    assert (len(taken.lost), link.restored, world.parked) == (1, None, [])
    assert world.cmms.records[link.cmms_id or ""].values["nombre"] == "Pump"


async def test_a_lost_record_whose_id_went_to_another_one_is_for_a_person(world: World) -> None:
    backup = Backup(world)
    row = world.dynamics.put("A", nombre="Pump")
    await world.webhook(row, "create")
    backup.of_the_cmms()
    world.cmms.put("N", (await world.link(row.id, "row")).cmms_id or "", nombre="Another")
    taken = await restored(world, "cmms", backup.at)
    assert (taken.for_people, taken.keys, world.row("A").values["nombre"]) == (["N"], set(), "Pump")


async def test_a_record_that_somebody_typed_in_again_gets_its_row_and_the_row_counts(world: World) -> None:
    backup = Backup(world)
    row = world.dynamics.put("A", nombre="Pump")
    await world.webhook(row, "create")
    backup.of_the_cmms()
    world.cmms.put("A", "77", nombre="Typed")
    await world.dirty("77")
    await restored(world, "cmms", backup.at)
    link = await world.link("77")
    assert (link.row_id, world.cmms.records["77"].values["nombre"]) == (row.id, "Pump")
    assert [(one.lost, one.why) for one in link.conflicts] == [("Typed", "first_contact")]


async def test_a_deletion_that_a_restore_took_back_is_for_a_person_and_revives_no_row(world: World) -> None:
    backup = await agreed(world)
    world.cmms.delete()
    await world.dirty()
    backup.of_the_cmms()
    await world.dirty()
    await world.settle()
    assert (world.row().state, world.parked) == (1, ["went_back"])
    taken = await restored(world, "cmms", backup.at)
    assert (taken.for_people, taken.records, world.row().state) == (["A"], {}, 1)


async def test_a_row_that_was_deactivated_since_the_backup_is_deactivated_again(world: World) -> None:
    backup = await agreed(world)
    world.cmms.delete()
    await world.dirty()
    backup.of_dynamics()
    await restored(world, "dynamics", backup.at)
    assert (world.row().state, (await world.link()).restored) == (1, None)


async def test_a_record_that_changed_on_no_side_since_the_backup_is_left_alone(world: World) -> None:
    backup = await agreed(world)
    world.cmms.put("B", "2", nombre="Other")
    await world.dirty("2")
    backup.of_dynamics()
    taken = await look(world, "dynamics", backup.at)
    assert taken.keys == {"B"}


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


async def test_what_people_edit_on_the_restored_side_before_the_word_is_on_record(world: World) -> None:
    backup = await agreed(world)
    world.dynamics.put("A", nombre="Nueva")
    await world.webhook(world.row())
    backup.of_dynamics()
    world.dynamics.put("A", numero_de_serie="typed since")
    await restored(world, "dynamics", backup.at)
    assert ("numero_de_serie", "typed since") in {(one.field, one.lost) for one in (await world.link()).conflicts}


async def edited_after_a_restore(world: World, backup: Backup) -> None:
    """A person edits a row of a restored Dynamics, whose versions are above the row's own of before, and below others'.

    Somebody looked at another row meanwhile, whose version was higher.
    """
    lost = world.row().version or 0
    world.dynamics.put("B", nombre="Otra")
    await world.webhook(world.dynamics.change(world.row("B"), version=lost + 1000))
    backup.of_dynamics()
    world.later(hours=1)
    row = world.row()
    edited = {**row.values, "valor_libros": "77"}
    world.dynamics.change(row, version=lost + 1, etag=f'W/"{lost + 1}"', values=edited, modified=world.clock.now())
    await world.webhook(row)
    await world.settle()


async def test_an_edit_after_a_restore_takes_nothing_back_whatever_its_version(world: World) -> None:
    backup = await agreed(world)
    world.dynamics.put("A", nombre="Nueva")
    await world.webhook(world.row())
    await edited_after_a_restore(world, backup)
    assert (world.cmms.records["1"].values["nombre"], world.parked) == ("Nueva", ["went_back"])
    await restored(world, "dynamics", backup.at)
    assert values(world)["nombre"] == ("Nueva", "Nueva")
    assert ("valor_libros", "77") in {(one.field, one.lost) for one in (await world.link()).conflicts}


async def test_what_a_restore_did_not_take_back_is_released_with_its_edits(world: World) -> None:
    await agreed(world)
    backup = Backup(world)
    await edited_after_a_restore(world, backup)
    assert world.parked == ["went_back"]
    taken = await restored(world, "dynamics", backup.at)
    assert values(world)["valor_libros"] == ("77", "77")
    assert ((await world.link()).parked, taken.intact) == ({}, {Identity("cmms", "1")})
    again = await look(world, "dynamics", backup.at)
    assert (again.records, again.busy) == ({}, [])


async def test_after_a_restore_and_the_word_edits_go_on_as_usual(world: World) -> None:
    backup = await agreed(world)
    world.dynamics.put("A", nombre="Nueva")
    await world.webhook(world.row())
    await edited_after_a_restore(world, backup)
    await restored(world, "dynamics", backup.at)
    row = world.row()
    values_now = {**row.values, "nombre": "Edited later"}
    version = (row.version or 0) + 1
    world.later(minutes=10)
    world.dynamics.change(row, version=version, etag=f'W/"{version}"', values=values_now, modified=world.clock.now())
    await world.webhook(world.row())
    await world.settle()
    assert values(world)["nombre"] == ("Edited later", "Edited later")


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


async def test_one_way_what_the_messages_said_counts_after_dynamics_was_restored(one_way: World) -> None:
    world = one_way
    await world.said(world.clock.now(), nombre="Bomba")
    backup = Backup(world)
    await world.said(world.clock.now(), nombre="Nueva")
    backup.of_dynamics()
    await restored(world, "dynamics", backup.at)
    assert world.row().values["nombre"] == "Nueva"
    assert [(one.lost, one.why) for one in (await world.link()).conflicts] == [("Bomba", "restored")]


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


async def test_a_row_that_lived_again_since_the_backup_is_made_active_again(world: World) -> None:
    await agreed(world)
    world.cmms.delete()
    await world.dirty()
    backup = Backup(world)
    world.cmms.put("A", "2", nombre="Otra")
    await world.dirty("2")
    backup.of_dynamics()
    assert world.row().state == 1
    await restored(world, "dynamics", backup.at)
    link = await world.link("2")
    assert (world.row().state, world.row().values["nombre"], link.restored, world.parked) == (0, "Otra", None, [])


async def test_a_row_that_people_retired_before_the_backup_stays_inactive(world: World) -> None:
    await agreed(world)
    world.dynamics.change(world.row(), state=1)
    world.cmms.put("A", nombre="Otra")
    await world.dirty()
    backup = Backup(world)
    world.cmms.put("A", nombre="Nueva")
    await world.dirty()
    backup.of_dynamics()
    await restored(world, "dynamics", backup.at)
    assert (world.row().state, world.row().values["nombre"]) == (1, "Nueva")


@pytest.mark.parametrize("fails", ["bus", "ledger"])
async def test_a_run_that_broke_off_leaves_no_row_of_a_lost_record_behind(world: World, fails: str) -> None:
    backup = Backup(world)
    row = world.dynamics.put("A", nombre="Pump")
    await world.webhook(row, "create")
    lost = (await world.link(row.id, "row")).cmms_id
    backup.of_the_cmms()
    world.cmms.put("Z", "9", nombre="Other")  # so that the next id is another one
    taken, write = await look(world, "cmms", backup.at), world.ledger.write

    async def fail(*_: object) -> None:
        raise Unavailable("The ledger gave no answer.")

    world.bus.failure = Unavailable("The bus gave no answer.") if fails == "bus" else None
    world.ledger.write = fail if fails == "ledger" else write  # type: ignore[method-assign]
    with pytest.raises(SyncError):
        await restore_of(world).settle(taken, "cmms", rate=1e6)
    world.bus.failure, world.ledger.write = None, write  # type: ignore[method-assign]
    await restored(world, "cmms", backup.at)
    made = (await world.link(row.id, "row")).cmms_id
    assert (made not in {None, lost}, world.parked) == (True, [])


async def test_a_row_whose_record_was_not_made_yet_is_not_let_go(world: World) -> None:
    backup = Backup(world)
    row = world.dynamics.put("A", nombre="Pump")
    world.cmms.faults.next = ["never arrives"] * 2
    await world.webhook(row, "create")
    backup.of_the_cmms()
    taken = await restored(world, "cmms", backup.at)
    link = await world.link(row.id, "row")
    assert (taken.lost, world.cmms.records[link.cmms_id or ""].values["nombre"]) == ({}, "Pump")
