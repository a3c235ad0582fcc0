"""Rule 8: memories that wait aside, under a ledger key that no record can have, while records exchange their keys."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

import pytest

from shared.domain.messages.events import Event
from shared.domain.messages.queues import ASSETS, PARKED
from shared.domain.model import CmmsRecord
from shared.domain.renamed import ASIDE
from shared.flows.sync import Sync
from tests.flows.sides import World
from tests.flows.test_renames import born, keys, rename, settle, taken_over


async def put_aside(world: World) -> str:
    """#1 came from A to B, whose #2 went to C: #1's memory waits aside until #2's has left B. Answers #1's row's id."""
    born(world, "A", "1")
    born(world, "B", "2")
    await settle(world, "A", "B")
    (row_id,) = (row.id for row in world.dynamics.rows.values() if row.key == "A")
    rename(world, "B", "C")
    rename(world, "A", "B")
    taken_over(world, "A", "3")
    await world.dirty("A")
    assert (await world.entry(ASIDE + "1")).dynamics_id == row_id
    return row_id


@pytest.mark.parametrize("told", ["tombstone", "row", "key"])
async def test_the_row_of_a_record_that_is_deleted_while_its_memory_is_aside_is_deactivated_and_gives_its_key_up(
    world: World, told: str
) -> None:
    row_id = await put_aside(world)
    world.bus.queues.pop(ASSETS.name, None)
    tombstone = CmmsRecord("B", "", {}, version=world.cmms.records["B"].version, deleted=True, former_keys=("A",))
    world.cmms.records["B"] = replace(tombstone, id="1")
    match told:
        case "tombstone":
            await settle(world, "B")
        case "row":
            data = {"record_id": row_id, "operation": "update"}
            event = Event(id=str(uuid4()), source="/dynamics", type="sync.asset.dirty", data=data)
            await world.sync.handle("asset", [event.to_json().encode()])
        case "key":
            await settle(world, ASIDE + "1")
    assert (world.dynamics.rows[row_id].key, world.dynamics.rows[row_id].state) == (row_id, 1)
    await settle(world, "A", "B", "C")
    assert {row.values["nombre"]: row.key for row in world.dynamics.rows.values() if row.state == 0} == {
        "Activo 2": "C",
        "Activo 3": "A",
    }
    assert PARKED.name not in world.bus.queues


async def test_a_memory_that_was_put_aside_is_found_by_its_ledger_key_and_goes_to_its_record(world: World) -> None:
    row_id = await put_aside(world)
    world.bus.queues.pop(ASSETS.name, None)
    await settle(world, "C", ASIDE + "1")
    assert keys(world)[row_id] == "B"
    await settle(world, ASIDE + "1")
    assert PARKED.name not in world.bus.queues, "where nothing is aside any more, nothing is to be done"


def deleted(world: World, key: str, identity: str, *former: str) -> None:
    """The CMMS deletes a record, and shows where it was and what it was called before."""
    world.clock.advance(timedelta(seconds=1))
    version = world.cmms.records[key].version
    world.cmms.records[key] = CmmsRecord(key, "", {}, version=version, deleted=True, id=identity, former_keys=former)


async def exhaust(world: World, batch: int, *, most: int = 1000) -> int:
    """Handle what the engine sends itself, in batches, until nothing comes any more; answers how much it was."""
    handled = 0
    while (again := world.bus.queues.pop(ASSETS.name, [])) and handled < most:
        handled += len(again)
        world.clock.advance(timedelta(minutes=15))
        for start in range(0, len(again), batch):
            await world.sync.handle("asset", [str(one.body).encode() for one in again[start : start + batch]])
    return handled


async def test_a_record_that_took_another_row_over_while_its_memory_was_aside_leaves_its_own(world: World) -> None:
    row_id = await put_aside(world)
    deleted(world, "C", "2", "B")
    await settle(world, "B", "A", "C")
    assert world.dynamics.rows[row_id].state == 1
    assert {row.values["nombre"]: row.key for row in world.dynamics.rows.values() if row.state == 0} == {
        "Activo 1": "B",
        "Activo 3": "A",
    }
    assert PARKED.name not in world.bus.queues


@pytest.mark.parametrize("batch", [1, 32])
async def test_a_row_in_the_way_of_its_own_record_makes_no_messages_for_ever(world: World, batch: int) -> None:
    await put_aside(world)
    deleted(world, "C", "2", "B")
    await world.dirty("B")
    del world.cmms.records["A"]
    rename(world, "B", "A")
    await world.dirty("A")
    assert await exhaust(world, batch) < 100


async def test_a_memory_aside_is_not_asked_for_by_the_messages_that_it_sends_to_its_record(world: World) -> None:
    await put_aside(world)
    del world.cmms.records["A"]
    rename(world, "B", "A")
    world.ledger._db.execute("UPDATE entry SET body = '{' WHERE key = 'B'")
    await world.dirty("A")
    assert await exhaust(world, 32) < 100
    assert len(world.bus.queues[PARKED.name]) < 10


async def test_a_memory_aside_that_cannot_be_read_is_parked_once_for_a_message_of_the_key_in_whose_way_it_is(
    world: World,
) -> None:
    await put_aside(world)
    world.bus.queues.pop(ASSETS.name, None)
    world.ledger._db.execute("UPDATE entry SET body = '{' WHERE key = ?", (ASIDE + "1",))
    await settle(world, "A")
    parked = sorted((one.properties["key"], one.properties["reason"]) for one in world.bus.queues[PARKED.name])
    assert parked == [(ASIDE + "1", "ledger_unreadable"), ("A", "key_not_usable")]


async def test_a_memory_without_its_record_s_identity_is_told_by_the_key_that_it_waits_under(world: World) -> None:
    """The ledger has had it since before the CMMS told identities."""
    world.cmms.put("A", nombre="Activo 1")
    await settle(world, "A")
    (row_id,) = world.dynamics.rows
    born(world, "A", "1")
    born(world, "B", "2")
    await settle(world, "B")
    rename(world, "B", "C")
    rename(world, "A", "B")
    await world.dirty("A")
    assert (await world.entry(ASIDE + "1")).cmms_id is None
    await settle(world, "A", "B", "C", ASIDE + "1")
    assert (world.dynamics.rows[row_id].key, world.dynamics.rows[row_id].state) == ("B", 0)
    assert not [key for key in world.cmms.records if key.startswith(ASIDE)]


async def test_one_way_a_memory_aside_is_nobodys_to_tell(world: World) -> None:
    row_id = await put_aside(world)
    one_way = Sync(world.mapping, world.ledger, cast("Any", world.dynamics), None, world.router, clock=world.clock)
    for data in ({"key": ASIDE + "1"}, {"record_id": row_id, "operation": "update"}):
        event = Event(id=str(uuid4()), source="/ops", type="sync.asset.dirty", data=data)
        summary = await one_way.handle("asset", [event.to_json().encode()])
        assert summary.already_true == 1
    assert keys(world)[row_id] == "A"


async def test_an_order_to_make_rows_again_takes_a_memory_aside_as_any(world: World) -> None:
    await put_aside(world)
    await world.router.resync("asset", [ASIDE + "1"], reason="lost", source="/ops", operation="recreate")
    await settle(world)
    assert PARKED.name not in world.bus.queues


async def test_a_row_that_gave_its_key_up_for_good_is_no_record_of_its_own(world: World) -> None:
    """Whoever asks for the key of every row asks for its id, which stands in."""
    born(world, "A", "1")
    born(world, "B", "2")
    await settle(world, "A", "B")
    for old, new in (("B", "T"), ("A", "B"), ("T", "A")):
        rename(world, old, new)
    await world.dirty("T")
    world.cmms.delete("B")
    await settle(world, "A", "B", "T")
    (released,) = [row for row in world.dynamics.rows.values() if row.key == row.id]
    assert released.state == 1
    await settle(world, released.key)
    assert PARKED.name not in world.bus.queues
