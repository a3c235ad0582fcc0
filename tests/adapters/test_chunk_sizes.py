"""Requests that grow or shrink towards ten seconds, by the emulator's cost of a row in virtual time."""

import pytest

from local.emulators.dataverse import Effect
from shared.adapters.dataverse.chunks import FIRST_CHUNK, SMALLEST_CHUNK, ChunkSize
from shared.flows.ports.engine import Failed
from tests.adapters.worlds import ASSET, World, creates, update


async def many(world: World, prefix: str, count: int = 1000) -> int:
    """Create rows, and tell in how many requests."""
    before = world.statistics.requests["batch"]
    results = await world.write(ASSET, creates(count, prefix), seconds=100_000)
    assert not any(isinstance(result, Failed) for result in results)
    return world.statistics.requests["batch"] - before


async def test_cheap_rows_go_in_ever_larger_requests(world: World) -> None:
    world.dataverse.costs.create_row = 0.001
    assert [await many(world, prefix) for prefix in "ABC"] == [4, 2, 1]


async def test_costly_rows_go_in_requests_of_about_ten_seconds(world: World) -> None:
    world.dataverse.costs.create_row = 0.1
    assert [await many(world, prefix) for prefix in "AB"] == [4, 10]
    started = world.clock.monotonic()
    assert await many(world, "C", 100) == 1
    assert world.clock.monotonic() - started == pytest.approx(10, rel=0.01)


async def test_the_wait_for_a_place_does_not_make_requests_smaller(world: World) -> None:
    world.dataverse.dop_hint = 1
    world.dataverse.costs.create_row = 0.01  # 2.5 s for the first chunks, which wait for one another
    await many(world, "A")
    assert world.gateway._bulk.size(ASSET, "create") > FIRST_CHUNK


async def test_creates_and_updates_are_measured_apart(world: World) -> None:
    world.dataverse.costs.create_row = 0.1
    rows = await world.landed(ASSET, creates(250))
    await world.landed(ASSET, [update(row, nombre="new") for row in rows])
    assert world.gateway._bulk.size(ASSET, "create") == 100
    assert world.gateway._bulk.size(ASSET, "update") == 500


async def test_a_request_that_timed_out_is_not_repeated_in_its_size(world: World) -> None:
    await world.landed(ASSET, creates(1))
    world.fault(Effect.SLOW, kind="batch", seconds=500, times=None)
    tried = [world.gateway._bulk.size(ASSET, "create")]
    for _ in range(3):
        await world.write(ASSET, creates(tried[-1]))
        tried.append(world.gateway._bulk.size(ASSET, "create"))
    assert tried == [250, 125, 62, 31]


async def test_a_body_that_is_too_large_is_made_smaller_and_blames_no_row(world: World) -> None:
    world.fault(Effect.HTML, kind="batch", status=413)
    results = await world.write(ASSET, creates(200))
    assert all(isinstance(result, Failed) and result.error.reason == "not_ready" for result in results)
    assert world.gateway._bulk.size(ASSET, "create") == 100


@pytest.mark.parametrize(("seconds", "rows"), [(1000, SMALLEST_CHUNK), (20, 125), (10, 250), (5, 250), (4, 500)])
def test_the_size_aims_at_ten_seconds(seconds: float, rows: int) -> None:
    size = ChunkSize()
    size.took(250, seconds)
    assert size.rows == rows


def test_a_small_request_says_nothing_about_a_large_one() -> None:
    size = ChunkSize()
    size.took(3, 0.1)
    assert size.rows == FIRST_CHUNK
