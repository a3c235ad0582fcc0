"""What the ledger cannot tell of one record costs that record's messages, and no other's."""

from datetime import timedelta
from uuid import uuid4

from shared.domain.messages.events import Event
from shared.domain.messages.queues import PARKED
from shared.flows.sync import Summary
from tests.kit.world import World


def spoil(world: World, cmms_id: str) -> None:
    """Edit a row of the ledger by hand."""
    world.ledger._db.execute("UPDATE link SET body = '{' WHERE cmms_id = ?", (cmms_id,))


async def batch(world: World, *ids: str) -> Summary:
    """One message for each record, in one batch."""
    events = [Event(id=str(uuid4()), source="/test", type="sync.asset.dirty", data={"cmms_id": one}) for one in ids]
    return await world.sync.handle("asset", [event.to_json().encode() for event in events])


async def test_a_record_whose_link_cannot_be_read_is_parked_alone(world: World) -> None:
    for number, key in zip("123", "ABC", strict=True):
        world.cmms.put(key, number, nombre="Bomba")
    await batch(world, "1", "2", "3")
    for number, key in zip("123", "ABC", strict=True):
        world.cmms.put(key, number, nombre="Otra bomba")
    spoil(world, "2")
    summary = await batch(world, "1", "2", "3", "2")
    assert (summary.applied, summary.parked, summary.retried) == (2, 2, 0)
    assert world.parked == ["ledger_unreadable"] * 2
    told = str(world.bus.queues[PARKED.name][0].properties["message"])
    assert "delete it" in told
    names = {row.key: row.values["nombre"] for row in world.dynamics.rows.values()}
    assert names == {"A": "Otra bomba", "B": "Bomba", "C": "Otra bomba"}


async def test_a_link_that_was_deleted_by_hand_is_met_anew_by_the_replay(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    await batch(world, "1")
    spoil(world, "1")
    world.cmms.put("A", nombre="Otra bomba")
    await batch(world, "1")
    world.ledger._db.execute("DELETE FROM link")
    body = world.bus.queues[PARKED.name][0].body
    summary = await world.sync.handle("asset", [body if isinstance(body, bytes) else body.encode()])
    assert (summary.applied, summary.parked) == (1, 0)
    assert [row.values["nombre"] for row in world.dynamics.rows.values()] == ["Otra bomba"]


async def test_one_way_an_unreadable_link_costs_its_own_record_alone(one_way: World) -> None:
    now = one_way.clock.now()
    await one_way.said(now - timedelta(days=2), nombre="Bomba")
    spoil(one_way, "1")
    assert (await one_way.said(now - timedelta(days=1), nombre="Otra bomba")).parked == 1
    assert (one_way.parked, one_way.row().values["nombre"]) == (["ledger_unreadable"], "Bomba")
