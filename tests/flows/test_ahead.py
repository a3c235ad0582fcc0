"""One-way mode: a version that has not come yet cannot silence what comes after it."""

import json
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.messages.ahead import MOST_AHEAD, check_version
from shared.domain.messages.queues import ASSETS, PARKED
from shared.domain.model import Version
from shared.errors import VersionInTheFuture
from tests.fakes import FakeClock
from tests.kit.world import World

KINDS: dict[str, dict[str, Any]] = {
    "upserted": {"fields": {"nombre": "from the future"}},
    "deleted": {},
    "renamed": {"old_key": "B", "fields": {"nombre": "from the future"}},
}
AHEAD = [timedelta(minutes=10, seconds=1), timedelta(hours=1), timedelta(days=365 * 73)]


def message(kind: str, version: datetime | None, time: datetime | None, key: str = "A", **data: Any) -> bytes:
    said = {"id": "1", "key": key, **data} | ({"version": version.isoformat()} if version else {})
    event = {"specversion": "1.0", "id": f"{kind} {version} {time}", "source": "/cmms", "data": said}
    event |= {"time": time.isoformat()} if time else {}
    return json.dumps({**event, "type": f"energy.asset.{kind}"}).encode()


def reasons(world: World) -> list[object]:
    return [one.properties["reason"] for one in world.bus.queues.get(PARKED.name, [])]


@pytest.mark.parametrize("by", AHEAD, ids=str)
@pytest.mark.parametrize("where", ["version", "time"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_message_from_the_future_is_parked_and_later_ones_still_count(
    one_way: World, kind: str, where: str, by: timedelta
) -> None:
    now = one_way.clock.now()
    # A neighbour of the same record, in the same batch and before the one that is refused.
    good = message("upserted", now, None, fields={"nombre": "uno"})
    future = now + by
    bad = message(kind, *((future, None) if where == "version" else (None, future)), **KINDS[kind])

    summary = await one_way.sync.handle("asset", [bad, good])

    (parked,) = one_way.bus.queues.pop(PARKED.name)
    assert (parked.body, parked.properties["reason"], parked.properties["key"]) == (bad, "version_in_the_future", "A")
    assert future.isoformat() in str(parked.properties["message"])
    assert (summary.applied, summary.parked) == (1, 1)
    one_way.clock.advance(timedelta(minutes=1))
    later = message("upserted", one_way.clock.now(), None, fields={"nombre": "dos"})
    assert (await one_way.sync.handle("asset", [later])).applied == 1
    assert one_way.row("A").values["nombre"] == "dos"
    assert one_way.row("A").state == 0
    assert ASSETS.name not in one_way.bus.queues


@pytest.mark.parametrize("by", [timedelta(), timedelta(seconds=30), MOST_AHEAD, -timedelta(days=9000)], ids=str)
async def test_clocks_may_differ_by_minutes(one_way: World, by: timedelta) -> None:
    version = one_way.clock.now() + by
    await one_way.sync.handle("asset", [message("upserted", version, None, fields={"nombre": "uno"})])
    assert reasons(one_way) == []
    assert one_way.row("A").values["nombre"] == "uno"


async def test_an_event_time_that_stands_in_for_nothing_may_be_any(one_way: World) -> None:
    now = one_way.clock.now()
    body = message("upserted", now, now + timedelta(days=9000), fields={"nombre": "uno"})
    await one_way.sync.handle("asset", [body])
    assert reasons(one_way) == []


async def test_a_parked_message_is_taken_once_its_moment_has_come(one_way: World) -> None:
    body = message("upserted", one_way.clock.now() + timedelta(hours=1), None, fields={"nombre": "uno"})
    await one_way.sync.handle("asset", [body])
    assert reasons(one_way) == ["version_in_the_future"]
    one_way.clock.advance(timedelta(hours=1))
    assert (await one_way.sync.handle("asset", [body])).applied == 1


async def test_with_the_cmmss_api_a_message_is_a_hint_whatever_its_version(world: World) -> None:
    world.cmms.put("A", nombre="uno")
    future = world.clock.now() + timedelta(days=9000)
    await world.sync.handle("asset", [message("upserted", None, future, fields={"nombre": "x"})])
    assert reasons(world) == []
    assert world.row("A").values["nombre"] == "uno"


@given(st.timedeltas(min_value=timedelta(days=-100_000), max_value=timedelta(days=100_000)))
def test_a_version_is_judged_by_how_far_ahead_of_now_it_is(by: timedelta) -> None:
    now = FakeClock().now()
    with pytest.raises(VersionInTheFuture) if by > MOST_AHEAD else nullcontext():
        check_version(Version(now + by), now)
