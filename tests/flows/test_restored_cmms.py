"""`ops restored --side cmms`: Dynamics' values count, and no value is lost unrecorded."""

from copy import replace

import pytest

from shared.domain.link import Identity
from shared.errors import SyncError, Unavailable
from tests.flows.conftest import MakeWorld
from tests.flows.restoring import ORDER, Backup, agreed, look, restore_of, restored, values
from tests.flows.test_in_doubt import mapping as stamped
from tests.kit.world import World


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
    world.later(minutes=1)
    world.cmms.put("N", (await world.link(row.id, "row")).cmms_id or "", nombre="Another")
    taken = await restored(world, "cmms", backup.at)
    assert (taken.for_people, taken.keys, world.row("A").values["nombre"]) == (["N"], set(), "Pump")


@pytest.mark.parametrize("edited", [False, True], ids=["as it was seen", "edited since the restore"])
async def test_a_record_whose_row_alone_was_renamed_is_no_other_record(world: World, edited: bool) -> None:
    backup = await agreed(world)
    old = world.cmms.put("A", valor_libros="20")
    await world.dirty()
    # As Django's QuerySet.update does it: another value, and neither a version nor a revision.
    world.cmms.records["1"] = replace(old, values={**old.values, "nombre": "Nueva"})
    await world.dirty()
    backup.of_the_cmms()
    world.cmms.records["1"] = old
    world.dynamics.change(world.row(), key="A?")
    world.later(minutes=1)
    if edited:
        world.cmms.put("A", valor_libros="77")
    taken = await restored(world, "cmms", backup.at)
    lost = {(one.field, one.lost, one.why) for one in (await world.link()).conflicts}
    assert (taken.for_people, values(world)["nombre"], world.parked) == ([], ("Nueva", "Nueva"), [])
    assert lost >= {("nombre", "Bomba", "restored"), ("codigo_interno", "A?", "first_contact")}


NEWER = (("nombre", "Nueva"), ("valor_libros", "77"))


async def test_a_record_that_was_renamed_since_the_restore_replaces_nothing_unrecorded(world: World) -> None:
    backup = await agreed(world)
    world.cmms.put("A", nombre="Nueva")
    await world.dirty()
    backup.of_the_cmms()
    world.later(minutes=1)
    world.cmms.put("B")
    world.cmms.put("B", valor_libros="77")
    for _ in range(2):
        taken = await restored(world, "cmms", backup.at)
        assert (taken.for_people, world.row().values["nombre"], world.parked) == (["B"], "Nueva", ["went_back"])
    await world.dirty(operation="recreate")
    lost = {(one.field, one.lost, one.why) for one in (await world.link()).conflicts}
    assert lost == {(name, one, "first_contact") for name, one in (*NEWER, ("codigo_interno", "A"))}


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


@pytest.mark.parametrize("word", ["before the edit", "after the edit", "never said"])
async def test_a_deleted_record_that_a_restore_brings_back_and_a_person_changes_replaces_nothing_unrecorded(
    world: World, word: str
) -> None:
    backup = await agreed(world)
    world.cmms.put("A", nombre="Nueva")
    await world.dirty()
    world.later(minutes=1)
    world.cmms.delete()
    await world.dirty()
    backup.of_the_cmms()
    world.later(minutes=1)
    if word == "before the edit":
        await restored(world, "cmms", backup.at)
        world.later(minutes=1)
    world.cmms.put("A", valor_libros="77")
    await world.dirty()
    if word == "after the edit":
        await restored(world, "cmms", backup.at)
    await world.settle()
    lost = {(one.field, one.lost, one.why) for one in (await world.link()).conflicts}
    assert (values(world)["valor_libros"], values(world)["nombre"]) == (("77", "77"), ("Bomba", "Bomba"))
    assert lost == {("nombre", "Nueva", "revived"), ("valor_libros", "10", "revived")}


async def test_a_lost_record_whose_key_another_one_has_is_parked_at_once(world: World) -> None:
    await agreed(world)
    del world.cmms.records["1"]
    world.cmms.put("A", "2", nombre="Otra")
    await world.dirty(operation="recreate")
    assert (world.parked, list(world.cmms.records)) == (["key_not_usable/codigo_interno"], ["2"])
