"""`ops restored --side dynamics`: the CMMS's values count, and no value is lost unrecorded."""

from shared.domain.messages.queues import PARKED
from tests.flows.restoring import Backup, agreed, look, restored, values
from tests.kit.world import World


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


async def test_what_people_edit_on_the_restored_side_before_the_word_is_on_record(world: World) -> None:
    backup = await agreed(world)
    world.dynamics.put("A", nombre="Nueva")
    await world.webhook(world.row())
    backup.of_dynamics()
    world.dynamics.put("A", numero_de_serie="typed since")
    await restored(world, "dynamics", backup.at)
    assert ("numero_de_serie", "typed since") in {(one.field, one.lost) for one in (await world.link()).conflicts}


async def test_one_way_what_the_messages_said_counts_after_dynamics_was_restored(one_way: World) -> None:
    world = one_way
    await world.said(world.clock.now(), nombre="Bomba")
    backup = Backup(world)
    await world.said(world.clock.now(), nombre="Nueva")
    backup.of_dynamics()
    await restored(world, "dynamics", backup.at)
    assert world.row().values["nombre"] == "Nueva"
    assert [(one.lost, one.why) for one in (await world.link()).conflicts] == [("Bomba", "restored")]


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
