"""Rule 2: nothing is concluded from a side that does not show yet what a message announced."""

from datetime import timedelta
from typing import Any

import pytest

from shared.errors import Throttled
from shared.flows.routing.route import ATTEMPTS
from tests.kit.world import World

UPSERTED_IN_2099 = (
    b'{"specversion":"1.0","id":"2","source":"/t","type":"energy.asset.upserted",'
    b'"data":{"id":"1","key":"A","version":"2099-01-01T00:00:00Z"}}'
)


async def test_what_a_message_announces_and_the_cmms_does_not_show_is_tried_again(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    await world.dirty()
    version = world.clock.now() + timedelta(seconds=1)
    assert (await world.said(version, nombre="Nueva")).retried == 1
    world.later(seconds=2)
    world.cmms.put("A", nombre="Nueva")
    await world.settle()
    assert world.row().values["nombre"] == "Nueva"


async def test_a_message_that_announces_too_much_holds_back_no_other_of_its_record(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    bodies = [
        b'{"specversion":"1.0","id":"1","source":"/t","type":"energy.asset.upserted","data":{"id":"1","key":"A"}}',
        UPSERTED_IN_2099,
    ]
    summary = await world.sync.handle("asset", bodies)
    assert (summary.applied, summary.retried) == (1, 1)


async def test_a_record_that_the_cmms_never_shows_is_parked_after_the_last_attempt(world: World) -> None:
    await world.send("upserted", {"id": "1", "key": "A", "fields": {}})
    summaries = await world.settle()
    assert (len(summaries), world.parked) == (ATTEMPTS - 1, ["not_yet_visible"])


async def test_a_row_that_dynamics_announced_and_does_not_show_is_tried_again(world: World) -> None:
    row = world.dynamics.put("A", nombre="Bomba")
    world.dynamics.faults.stale = {}
    assert (await world.webhook(row, "create")).retried == 1
    world.dynamics.faults.stale = None
    await world.settle()
    assert [record.values["nombre"] for record in world.cmms.records.values()] == ["Bomba"]


async def test_a_side_s_failure_is_no_attempt_and_waits_as_asked(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    world.dynamics.faults.next = [Throttled("slow down", retry_after=timedelta(minutes=7))]
    await world.dirty()
    (copy,) = world.bus.queues["assets"]
    assert copy.scheduled_at is not None
    assert copy.scheduled_at - world.clock.now() >= timedelta(minutes=7)
    assert list(world.attempts) == [0]
    await world.settle()
    assert (world.row().values["nombre"], world.parked) == ("Bomba", [])


async def test_a_side_that_fails_for_a_day_parks_the_message(world: World) -> None:
    world.cmms.put("A", nombre="Bomba")
    world.dynamics.faults.away = Throttled("slow down", retry_after=timedelta(minutes=15))
    await world.dirty()
    await world.settle(rounds=100)
    assert (world.parked, world.clock.monotonic() >= 24 * 3600) == (["throttled"], True)


@pytest.mark.parametrize("left", ["renamed", "deleted"])
async def test_a_row_whose_key_was_a_records_a_moment_ago_becomes_a_record_of_its_own(
    world: World, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    world.cmms.put("X", nombre="Bomba")
    await world.dirty()
    world.cmms.put("A")
    row = world.dynamics.put("A", nombre="Motor")
    read = world.cmms.by_id

    async def left_before(*asked: Any) -> Any:
        monkeypatch.undo()
        if left == "renamed":
            world.cmms.put("B")
        else:
            world.cmms.delete()
        return await read(*asked)

    monkeypatch.setattr(world.cmms, "by_id", left_before)
    await world.webhook(row, "create")
    await world.settle()
    living = {one.key: one.values["nombre"] for one in world.cmms.records.values() if one.living}
    assert living == {"A": "Motor"} | ({"B": "Bomba"} if left == "renamed" else {})
