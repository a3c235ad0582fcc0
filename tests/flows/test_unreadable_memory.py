"""What the ledger cannot tell of one record costs that record's messages, and no other's."""

from datetime import UTC, datetime
from uuid import uuid4

from shared.domain.messages.events import Event
from shared.domain.messages.queues import PARKED
from shared.flows.sync import Summary
from tests.flows.sides import World
from tests.flows.test_renames import born, keys, rename, renamed


def spoil(world: World, key: str) -> None:
    """Edit a row of the ledger by hand."""
    world.ledger._db.execute("UPDATE entry SET body = '{' WHERE key = ?", (key,))


async def batch(world: World, *keys: str) -> Summary:
    """One message for each key, in one batch."""
    events = [Event(id=str(uuid4()), source="/test", type="sync.asset.dirty", data={"key": key}) for key in keys]
    return await world.sync.handle("asset", [event.to_json().encode() for event in events])


def parked(world: World) -> list[tuple[object, object]]:
    return [(one.properties["reason"], one.properties["key"]) for one in world.bus.queues.get(PARKED.name, [])]


async def test_a_record_whose_ledger_row_cannot_be_read_is_parked_alone(world: World) -> None:
    for key in ("A", "B", "C"):
        world.cmms.put(key, nombre="Bomba")
    await batch(world, "A", "B", "C")
    for key in ("A", "B", "C"):
        world.cmms.put(key, nombre="Otra bomba")
    spoil(world, "B")
    summary = await batch(world, "A", "B", "C", "B")
    assert (summary.applied, summary.parked, summary.retried) == (2, 2, 0)
    assert parked(world) == [("ledger_unreadable", "B")] * 2
    told = str(world.bus.queues[PARKED.name][0].properties["message"])
    assert "asset B" in told
    assert "delete it" in told
    assert {row.key: row.values["nombre"] for row in world.dynamics.rows.values()} == {
        "A": "Otra bomba", "B": "Bomba", "C": "Otra bomba",
    }  # fmt: skip


async def test_a_row_of_the_ledger_that_was_deleted_by_hand_is_met_anew_by_the_replay(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    await batch(world, "A")
    spoil(world, "A")
    world.cmms.put("A", nombre="Otra bomba")
    await batch(world, "A")
    world.ledger._db.execute("DELETE FROM entry WHERE key = 'A'")
    body = world.bus.queues[PARKED.name][0].body
    summary = await world.sync.handle("asset", [body if isinstance(body, bytes) else body.encode()])
    assert (summary.applied, summary.parked) == (1, 0)
    assert [row.values["nombre"] for row in world.dynamics.rows.values()] == ["Otra bomba"]


async def test_a_renamed_record_whose_memory_cannot_be_read_gets_no_second_row(world: World) -> None:
    born(world, "A", "1")
    await batch(world, "A")
    before = keys(world)
    rename(world, "A", "B")
    spoil(world, "A")
    await renamed(world, "A", "B")
    assert keys(world) == before
    assert parked(world) == [("ledger_unreadable", "B")]
    assert "asset A" in str(world.bus.queues[PARKED.name][0].properties["message"])


async def test_one_way_an_unreadable_row_costs_its_own_record_alone(one_way: World) -> None:
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    await one_way.said(early, nombre="Bomba")
    spoil(one_way, "A")
    assert (await one_way.said(late, nombre="Otra bomba")).parked == 1
    assert (await renamed(one_way, "A", "B")).parked == 1
    assert [reason for reason, _ in parked(one_way)] == ["ledger_unreadable"] * 2
    assert [row.values["nombre"] for row in one_way.dynamics.rows.values()] == ["Bomba"]
