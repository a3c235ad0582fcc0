"""Rule 9: what a side does not show is not gone: the CMMS must say that it deleted a record."""

from dataclasses import replace
from uuid import uuid4

from shared.domain.messages.events import Event
from shared.domain.messages.queues import ASSETS, PARKED
from tests.flows.sides import World


async def agreed(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    await world.dirty("A")
    world.dynamics.writes.clear()


async def test_a_list_that_leaves_a_known_record_out_deactivates_nothing(world: World) -> None:
    await agreed(world)
    hidden = world.cmms.records.pop("A")
    await world.dirty("A")
    await world.dirty("A")
    assert world.dynamics.writes == []
    assert [one.properties["reason"] for one in world.bus.queues[PARKED.name]] == ["gone_from_cmms"]
    world.cmms.records["A"] = replace(hidden, values={**hidden.values, "nombre": "Otra"}, etag='"new"')
    await world.dirty("A")
    assert world.row("A").values["nombre"] == "Otra"
    assert (await world.entry("A")).parked == {}


async def test_a_message_that_announces_the_deletion_makes_its_absence_count(world: World) -> None:
    await agreed(world)
    del world.cmms.records["A"]
    data = {"key": "A", "version": world.clock.now().isoformat()}
    event = Event(id=str(uuid4()), source="/energy-cmms", type="energy.asset.deleted", data=data)
    await world.sync.handle("asset", [event.to_json().encode()])
    assert world.row("A").state == 1


async def test_a_row_born_in_dynamics_is_not_created_again_in_the_cmms_that_deleted_it(world: World) -> None:
    world.dynamics.put("A", nombre="Nacida en Dynamics")
    await world.dirty("A")
    assert world.cmms.records["A"].values["nombre"] == "Nacida en Dynamics"
    world.cmms.delete("A")
    await world.dirty("A")
    world.dynamics.put("A", nombre="Editada después")
    await world.dirty("A")
    assert world.cmms.records["A"].deleted
    assert world.row("A").state == 1


async def test_what_a_message_announces_and_the_cmms_does_not_show_yet_is_tried_again(world: World) -> None:
    data = {"key": "A", "version": world.clock.now().isoformat(), "fields": {"nombre": "Bomba"}}
    event = Event(id=str(uuid4()), source="/energy-cmms", type="energy.asset.upserted", data=data)
    summary = await world.sync.handle("asset", [event.to_json().encode()])
    assert (summary.retried, world.dynamics.rows) == (1, {})
    assert len(world.bus.queues[ASSETS.name]) == 1
