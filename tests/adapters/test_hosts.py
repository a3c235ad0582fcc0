"""Whole hosts over the emulated Dataverse: what they cost each other, and how soon they are back after an outage."""

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random

import pytest

from local.emulators.dataverse import Effect
from shared.adapters.http.gate import BREAK
from tests.adapters.hosts import BATCH, Hosts, message
from tests.adapters.worlds import ASSET, World

OUTAGE = 60.0
type Start = Callable[[int], Hosts]


@pytest.fixture
async def start(world: World) -> AsyncIterator[Start]:
    """Start so many hosts; 100 ms for a request and 5 ms for a row."""
    started: list[Hosts] = []

    def hosts(number: int) -> Hosts:
        started.append(Hosts(world, number))
        return started[-1]

    world.dataverse.costs.request, world.dataverse.costs.create_row, world.dataverse.costs.update_row = (
        0.1,
        0.005,
        0.005,
    )
    yield hosts
    for one in started:
        await one.aclose()


async def test_hosts_that_meet_each_others_writes_wait_for_seconds(world: World, start: Start) -> None:
    hosts = start(3)
    messages = [message(number, second) for number in range(120) for second in range(1, 4)]
    Random(1).shuffle(messages)  # noqa: S311  # repeatable
    hosts.queue.fill(messages)
    assert await hosts.drain() < 20
    rows = world.rows(ASSET)
    assert {row["msdyn_name"] for row in rows.values()} == {"Bomba 3"}
    assert len(rows) == 120


@pytest.mark.parametrize(
    "effect", [{"effect": Effect.STATUS, "status": 503}, {"effect": Effect.RESET}], ids=["503", "reset"]
)
async def test_after_an_outage_of_a_minute_the_last_row_lands_within_20_seconds(
    world: World, start: Start, effect: dict[str, object]
) -> None:
    hosts = start(2)
    hosts.queue.fill(message(number) for number in range(600))
    work = asyncio.create_task(hosts.drain())
    await asyncio.sleep(0.5)
    fault = world.fault(times=None, **effect)
    world.wire.forget()
    await asyncio.sleep(OUTAGE)
    # What had begun fails at once; then each host looks again at a steady rate, a request or two each time.
    assert len(world.wire.requests) <= 2 * (8 + 2 * OUTAGE / BREAK.total_seconds())
    fault.times = 0
    ended = world.clock.monotonic()
    await work
    assert world.clock.monotonic() - ended < 20
    assert world.count(ASSET) == 600
    # Few messages went back to the queue, and those as whole batches.
    assert hosts.queue.sent_again <= 2 * BATCH
    assert hosts.batches <= 3 + 2


async def test_a_side_that_is_back_is_not_run_over(world: World, start: Start) -> None:
    hosts = start(1)
    hosts.queue.fill(message(number) for number in range(600))
    work = asyncio.create_task(hosts.drain())
    await asyncio.sleep(0.6)
    fault = world.fault(Effect.STATUS, status=503, times=None)
    await asyncio.sleep(OUTAGE)
    fault.times = 0
    world.wire.forget()
    await work
    begun = [at - world.wire.times[0] for at in world.wire.times]
    # One looks whether the side is back; its answer, which takes 0.1 s, lets two follow.
    assert sum(at < 0.09 for at in begun) == 1
    assert sum(at < 0.19 for at in begun) <= 3
