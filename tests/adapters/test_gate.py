"""Throttling, breaker and parallelism: seen from the service, in virtual time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from email.utils import format_datetime

import httpx
import pytest

from local.emulators.dataverse import Effect
from shared.adapters.http.gate import BREAK, FAILURES_TO_OPEN, FIRST_WIDTH, NARROWED, WIDEST, Gate
from shared.errors import SyncError, Throttled, Unavailable
from shared.flows.ports.engine import Failed
from tests.adapters.virtual import START, LoopClock
from tests.adapters.worlds import ASSET, World, creates


async def ask(world: World) -> SyncError | None:
    try:
        await world.gateway.by_key(ASSET, ["A"])
    except SyncError as error:
        return error
    return None


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_after_a_429_nothing_is_sent_until_the_service_wants_it(world: World, form: str) -> None:
    wait = "40" if form == "seconds" else format_datetime(START + timedelta(seconds=40), usegmt=True)
    world.fault(Effect.STATUS, status=429, code="0x80072322", retry_after=wait)
    first = await ask(world)
    assert isinstance(first, Throttled)
    assert (first.status, first.code, first.retry_after) == (429, "0x80072322", timedelta(seconds=40))
    for _ in range(37):
        error = await ask(world)
        assert isinstance(error, Throttled)
        assert error.retry_after == timedelta(seconds=40 - world.clock.monotonic())
        await asyncio.sleep(1)
    assert len(world.wire.requests) == 1
    await asyncio.sleep(2)  # one second is left: worth waiting in place
    assert await ask(world) is None
    assert world.wire.times[1:] == [40]


async def test_a_date_counts_from_the_answers_own_date_so_that_clocks_need_not_agree(world: World) -> None:
    service_now = START + timedelta(hours=3)
    headers = {
        "Date": format_datetime(service_now, usegmt=True),
        "Retry-After": format_datetime(service_now + timedelta(seconds=25), usegmt=True),
    }
    world.wire.change = lambda _: httpx.Response(429, headers=headers)
    error = await ask(world)
    assert isinstance(error, Throttled)
    assert error.retry_after == timedelta(seconds=25)


@pytest.mark.parametrize(
    ("raw", "least", "most"),
    [
        ("", 5, 5),
        ("soon", 5, 5),
        ("-3", 5, 5),
        ("0", 5, 5),
        ("999999999999", 86_400, 86_400),
        ("٣", 5, 5),
        ("1.5", 5, 5),
    ],
)
async def test_an_odd_retry_after_neither_fails_nor_hammers(world: World, raw: str, least: float, most: float) -> None:
    world.wire.change = lambda _: httpx.Response(429, headers=[(b"Retry-After", raw.encode())])
    assert isinstance(await ask(world), Throttled)
    error = await ask(world)
    assert isinstance(error, Throttled)
    assert error.retry_after is not None
    assert least <= error.retry_after.total_seconds() <= most


async def test_a_gate_closed_again_during_a_short_wait_is_not_passed_too_early(clock: LoopClock) -> None:
    gate = Gate(clock, "Dynamics")
    gate.throttled(timedelta(seconds=1))
    passed: list[float] = []

    async def pass_through() -> None:
        async with gate.enter():
            passed.append(clock.monotonic())

    task = asyncio.create_task(pass_through())
    await asyncio.sleep(0.5)
    gate.throttled(timedelta(seconds=2))
    await task
    assert passed == [2.5]


async def test_a_throttled_write_was_not_done_and_is_done_after_the_wait(world: World) -> None:
    world.fault(Effect.STATUS, kind="batch", status=429, retry_after="30")
    results = await world.write(ASSET, creates(10))
    assert all(isinstance(result, Failed) and not result.unknown for result in results)
    await asyncio.sleep(30)
    await world.landed(ASSET, creates(10))


async def test_the_width_follows_the_hint_step_by_step_up_and_at_once_down(world: World) -> None:
    world.dataverse.dop_hint = 5
    widths = []
    for _ in range(6):
        await ask(world)
        widths.append(world.client.gate.width)
    assert widths == [3, 4, 5, 5, 5, 5]
    world.dataverse.dop_hint = 2
    await ask(world)
    assert world.client.gate.width == 2
    for hint, width in ((0, 1), (50, 2)):
        world.dataverse.dop_hint = hint
        await ask(world)
        assert world.client.gate.width == width


def wide(gate: Gate) -> None:
    """Have the gate answer until it is as wide as it gets."""
    gate.hint(WIDEST)
    for _ in range(WIDEST):
        gate.succeeded()


async def test_a_429_halves_the_width(clock: LoopClock) -> None:
    gate = Gate(clock, "Dynamics")
    wide(gate)
    gate.throttled(timedelta(seconds=1))
    assert gate.width == WIDEST / 2


async def test_a_width_that_was_refused_is_not_tried_again_for_five_minutes(clock: LoopClock) -> None:
    gate = Gate(clock, "Dynamics")
    wide(gate)
    gate.throttled(timedelta(seconds=1))
    wide(gate)
    assert gate.width == WIDEST - 1
    await asyncio.sleep(NARROWED.total_seconds())
    wide(gate)
    assert gate.width == WIDEST


async def test_a_side_without_hints_is_as_wide_again_after_a_429(clock: LoopClock) -> None:
    gate = Gate(clock, "The CMMS", width=4)
    gate.throttled(timedelta(seconds=1))
    await asyncio.sleep(NARROWED.total_seconds())
    widths = []
    for _ in range(4):
        gate.succeeded()
        widths.append(gate.width)
    assert widths == [3, 4, 4, 4]


@pytest.mark.parametrize(("hint", "highest"), [(None, FIRST_WIDTH), (1, FIRST_WIDTH), (4, 4), (100, WIDEST)])
async def test_requests_under_way_are_bounded_by_the_hint_and_reach_it(
    world: World, hint: int | None, highest: int
) -> None:
    world.dataverse.dop_hint = hint
    world.dataverse.costs.request = 1
    await asyncio.gather(*(world.gateway.by_key(ASSET, [str(number)]) for number in range(60)))
    assert len(world.wire.requests) == 60
    assert world.wire.highest == highest


async def test_the_breaker_opens_after_five_failures_and_looks_again_at_a_steady_rate(world: World) -> None:
    fault = world.fault(Effect.STATUS, status=503, times=None)
    for _ in range(FAILURES_TO_OPEN):
        assert isinstance(await ask(world), Unavailable)
    waits = []
    for _ in range(7):
        sent = len(world.wire.requests)
        error = await ask(world)
        assert isinstance(error, Unavailable)
        assert not error.sent
        assert error.retry_after is not None
        assert len(world.wire.requests) == sent
        waits.append(error.retry_after.total_seconds())
        await asyncio.sleep(waits[-1])
        await asyncio.gather(*(ask(world) for _ in range(5)))  # one looks whether the service is back
        assert len(world.wire.requests) == sent + 1
    assert waits == [BREAK.total_seconds()] * 7
    await asyncio.sleep(BREAK.total_seconds())
    fault.times = 0
    assert await asyncio.gather(*(ask(world) for _ in range(5))) == [None] * 5
    fault.times = None
    for _ in range(FAILURES_TO_OPEN - 1):
        error = await ask(world)
        assert isinstance(error, Unavailable)
        assert error.sent


async def test_failures_of_one_wave_open_the_breaker_once(world: World) -> None:
    wide(world.client.gate)
    world.dataverse.costs.request = 1
    world.fault(Effect.RESET, times=None)
    world.wire.change = None
    await asyncio.gather(*(ask(world) for _ in range(8)))
    error = await ask(world)
    assert isinstance(error, Unavailable)
    assert error.retry_after == BREAK


async def test_a_side_that_comes_back_is_asked_by_one_request_more_with_each_answer(clock: LoopClock) -> None:
    gate = Gate(clock, "Dynamics")
    wide(gate)
    for _ in range(FAILURES_TO_OPEN):
        gate.failed()
    await asyncio.sleep(BREAK.total_seconds())
    widths = [gate.width]
    for _ in range(4):
        gate.succeeded()
        widths.append(gate.width)
    assert widths == [1, 2, 3, 4, 5]


async def test_an_answer_of_any_kind_but_a_failure_closes_the_breaker(world: World) -> None:
    for _ in range(4):
        world.fault(Effect.STATUS, status=503, times=FAILURES_TO_OPEN - 1)
        for _ in range(FAILURES_TO_OPEN - 1):
            await ask(world)
        world.fault(Effect.STATUS, status=400)
        error = await ask(world)
        assert error is not None
        assert error.status == 400


async def test_a_503_that_says_when_to_come_back_is_obeyed(world: World) -> None:
    world.fault(Effect.STATUS, status=503, retry_after="60")
    await ask(world)
    error = await ask(world)
    assert isinstance(error, Unavailable)
    assert (error.retry_after, error.sent) == (timedelta(seconds=60), False)
    assert len(world.wire.requests) == 1


async def test_a_cancelled_caller_gives_its_place_back(world: World) -> None:
    world.dataverse.costs.request = 5
    for _ in range(3):
        tasks = [asyncio.create_task(world.gateway.by_key(ASSET, ["A"])) for _ in range(6)]
        await asyncio.sleep(1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    started = world.clock.monotonic()
    assert await ask(world) is None
    assert world.clock.monotonic() - started == pytest.approx(5)


@pytest.fixture(autouse=True)
async def _nothing_left(world: World) -> AsyncIterator[None]:
    yield
    assert world.wire.under_way == 0
