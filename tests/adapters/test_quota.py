"""What the quota permits is used, and nothing is sent to be refused: over the emulator's service protection."""

import asyncio

import httpx
import pytest

from local.emulators.dataverse.limits import Limits
from shared.adapters.dataverse.chunks import share
from shared.adapters.dataverse.quota import PLENTY, REQUESTS, SECONDS, Quota
from shared.adapters.dataverse.writes import DynamicsWrite
from shared.errors import Throttled
from shared.flows.ports.engine import Failed
from tests.adapters.virtual import LoopClock
from tests.adapters.worlds import ASSET, World, creates, only_failure

SECONDS_PER_ROW = 0.005


def refusals(world: World) -> list[float]:
    """From now on, the instants of answers with status 429."""
    found: list[float] = []

    def note(response: httpx.Response) -> httpx.Response:
        if response.status_code == 429:
            found.append(world.clock.monotonic())
        return response

    world.wire.change = note
    return found


@pytest.mark.parametrize(
    ("limits", "batches", "rows"),
    [
        (Limits(requests=6000, execution_seconds=5, concurrency=4, window_seconds=30), 12, 250),
        (Limits(requests=40, execution_seconds=1200, concurrency=4, window_seconds=30), 100, 2),
        (Limits(requests=40, execution_seconds=5, concurrency=2, window_seconds=60), 12, 250),
    ],
    ids=["execution time", "requests", "both"],
)
async def test_what_the_quota_permits_is_used_and_no_request_is_refused(
    world: World, limits: Limits, batches: int, rows: int
) -> None:
    world.dataverse.protection.limits = limits
    world.dataverse.dop_hint = limits.concurrency
    world.dataverse.costs.create_row = SECONDS_PER_ROW
    refused = refusals(world)
    for number in range(batches):
        await _written(world, creates(rows, f"A{number}"))
    assert refused == []
    assert world.count(ASSET) == batches * rows
    # A sliding window permits its whole budget at once, and then as much again when the window is over.
    by_time = batches * rows * SECONDS_PER_ROW / (limits.execution_seconds or 1) * limits.window_seconds
    by_requests = batches / (limits.requests or 1) * limits.window_seconds
    assert world.clock.monotonic() < 1.2 * max(by_time, by_requests)


@pytest.mark.parametrize(
    ("limits", "latency", "records", "most"),
    [
        (Limits(requests=40, execution_seconds=20, concurrency=4, window_seconds=30), 0.1, 10_000, 90),
        (Limits(requests=40, execution_seconds=2, concurrency=4, window_seconds=30), 0.1, 1_000, 62),
        (Limits(requests=40, execution_seconds=2, concurrency=4, window_seconds=30), 1.0, 1_000, 200),
        (Limits(execution_seconds=24), 1.0, 4_000, 60),
    ],
    ids=["a short window", "less than two requests need", "a very slow network", "the documented window"],
)
async def test_seconds_of_the_network_are_not_taken_for_seconds_of_execution(
    world: World, limits: Limits, latency: float, records: int, most: float
) -> None:
    world.dataverse.protection.limits = limits
    world.dataverse.dop_hint = min(limits.concurrency or 8, 8)
    world.dataverse.costs.create_row, world.dataverse.costs.request = SECONDS_PER_ROW, 0.1
    world.wire.latency = latency
    refused = refusals(world)
    for number in range(records // 500):
        await _written(world, creates(500, f"A{number}"))
    assert refused == []
    assert world.count(ASSET) == records
    assert world.clock.monotonic() < most


async def _written(world: World, left: list[DynamicsWrite]) -> None:
    """Write rows; those that are held back for longer than a write may take are written again, as the engine does."""
    while left:
        results = await world.write(ASSET, left)
        failed = [result.error for result in results if isinstance(result, Failed)]
        assert all(isinstance(error, Throttled) for error in failed)
        left = [write for write, result in zip(left, results, strict=True) if isinstance(result, Failed)]
        await asyncio.sleep(5 if left else 0)


async def test_a_quota_that_others_use_up_is_asked_about_although_no_read_waits_so_long(world: World) -> None:
    world.dataverse.costs.request = 0.5
    await world.landed(ASSET, creates(1))
    world.client._quota.heard({SECONDS: "0.10"}, 0.5)
    with pytest.raises(Throttled) as held:
        await world.gateway.by_key(ASSET, ["A0"])
    await asyncio.sleep(held.value.least_wait.total_seconds())  # as the engine does
    assert await world.gateway.by_key(ASSET, ["A0"]) == {"A0": []}


async def test_a_request_that_the_quota_does_not_permit_in_time_is_not_sent(world: World) -> None:
    await world.landed(ASSET, creates(1))
    world.client._quota.heard({SECONDS: "0"}, 0.0)
    before = world.statistics.requests["batch"]
    failure = only_failure((await world.write(ASSET, creates(1, "B"), seconds=1))[0])
    assert (failure.error.reason, failure.unknown) == ("throttled", False)
    assert world.statistics.requests["batch"] == before


@pytest.mark.parametrize(
    ("answers", "width", "parallel"),
    [
        ([], 8, 8),
        ([PLENTY], 8, 8),
        ([5999, PLENTY - 1], 8, 1),
        ([39], 4, 2),
        ([39], 1, 1),
        ([39, 9], 4, 1),
        ([39, 9, 38], 4, 2),
    ],
)
def test_requests_are_many_while_plenty_are_left_and_else_few(answers: list[int], width: int, parallel: int) -> None:
    quota = Quota(FixedClock())
    for left in answers:
        quota.heard({REQUESTS: str(left)}, 0.0)
    assert quota.parallel(width) == parallel


@pytest.mark.parametrize(
    ("rows", "parallel", "size"), [(500, 8, 63), (500, 1, 500), (100, 8, 50), (3, 8, 50), (0, 8, 50)]
)
def test_a_part_has_the_rows_of_one_request_of_those_under_way(rows: int, parallel: int, size: int) -> None:
    assert share(rows, parallel) == size


@pytest.mark.parametrize(
    ("headers", "permitted"),
    [
        ({}, True),
        ({REQUESTS: "soon", SECONDS: ""}, True),
        ({REQUESTS: "600", SECONDS: "1,197.25"}, True),
        ({REQUESTS: "4"}, False),
        ({SECONDS: "-2.50"}, False),
        ({SECONDS: "1,150.00"}, True),
    ],
)
def test_only_a_number_that_says_that_little_is_left_holds_requests_back(
    headers: dict[str, str], *, permitted: bool
) -> None:
    quota = Quota(FixedClock())
    quota.heard({REQUESTS: "5999", SECONDS: "1,200.00"}, 0.0)
    quota.heard(headers, 0.0)
    assert (quota.wait(1) == (0.0, False)) is permitted


def test_what_ended_after_a_request_began_is_spent_although_its_answer_does_not_say_so() -> None:
    clock = FixedClock()
    quota = Quota(clock)
    quota.heard({SECONDS: "20.00"}, 0.0)
    for _ in range(4):  # four requests of five seconds that began together: each was told that 20 seconds were left
        clock.time = 5.0
        quota.heard({SECONDS: "20.00"}, 5.0)
    assert quota.seconds.left(5.0) == pytest.approx(0.0)


def test_a_window_that_is_shorter_than_documented_is_learned_and_then_waited_for_exactly() -> None:
    clock = FixedClock()
    quota = Quota(clock)
    for at, left in ((0.0, "5"), (1.0, "4"), (2.0, "3"), (30.5, "3")):  # the request of instant 0 is forgotten
        clock.time = at
        quota.heard({REQUESTS: left}, 0.0)
    assert quota.requests.window_known
    quota.heard({REQUESTS: "0"}, 0.0)
    wait, ask = quota.wait(1)
    assert not ask
    assert 0 < wait <= 1.0


def test_a_quota_that_others_have_used_up_is_asked_about_until_more_is_left() -> None:
    clock = FixedClock()
    quota = Quota(clock)
    for at, left in ((0.0, "20.00"), (1.0, "19.00"), (31.0, "20.00"), (90.0, "-0.50")):
        clock.time = at
        quota.heard({SECONDS: left}, 0.5)
    assert quota.seconds.window_known
    for clock.time in (91.0, 200.0, 1_000.0):
        wait, _ = quota.wait(1)
        assert 0 < wait <= 30
    assert quota.wait(1)[1]
    quota.heard({SECONDS: "12.00"}, 0.5)
    assert quota.wait(1) == (0.0, False)


def test_answers_that_overtake_each_other_do_not_shorten_the_window() -> None:
    clock = FixedClock()
    quota = Quota(clock)
    quota.heard({REQUESTS: "39", SECONDS: "20.00"}, 0.0)
    for began, left, seconds in ((5.0, "37", "15.00"), (5.001, "38", "20.00"), (5.002, "36", "15.00")):
        clock.time = 7.0
        quota.heard({REQUESTS: left, SECONDS: seconds}, clock.time - began)
    assert not quota.requests.window_known
    assert not quota.seconds.window_known
    assert quota.requests.left(7.0) <= 36
    assert quota.seconds.left(7.0) <= 15.0


def test_after_a_refusal_what_is_given_back_teaches_nothing_of_the_window() -> None:
    clock = FixedClock()
    quota = Quota(clock)
    for at, left in ((0.0, "20.00"), (1.0, "1.00"), (3.0, "15.00")):  # another program's seconds were given back
        clock.time = at
        quota.heard({SECONDS: left}, 0.0)
    known = [quota.seconds.window_known]
    quota.refused()
    known.append(quota.seconds.window_known)
    for clock.time, left in ((4.0, "2.00"), (9.0, "17.00")):
        quota.heard({SECONDS: left}, 0.0)
        known.append(quota.seconds.window_known)
    assert known == [True, False, False, False]


class FixedClock(LoopClock):
    """Time that moves only when told."""

    time = 0.0

    def monotonic(self) -> float:
        return self.time
