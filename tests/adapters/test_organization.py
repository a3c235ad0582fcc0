"""Which organization this is: asked once, however many webhooks come at the same time."""

import asyncio
from uuid import UUID

import httpx
import pytest

from shared.errors import Unavailable
from tests.adapters.virtual import LoopClock
from tests.adapters.worlds import World, over, scripted

OURS = UUID("0f7c1d2e-3b4a-4c5d-8e9f-001122334455")


async def test_a_hundred_webhooks_at_once_ask_once(world: World) -> None:
    found = await asyncio.gather(*(world.gateway.organization_id() for _ in range(100)))
    assert set(found) == {await world.gateway.organization_id()}
    assert len(world.wire.requests) == 1


async def test_a_failure_is_everybody_s_and_the_next_call_asks_again(clock: LoopClock) -> None:
    answers = [httpx.Response(503), httpx.Response(200, json={"OrganizationId": str(OURS), "UserId": str(UUID(int=7))})]
    gateway = scripted(clock, lambda _: answers.pop(0))
    results = await asyncio.gather(*(gateway.organization_id() for _ in range(5)), return_exceptions=True)
    assert {type(result) for result in results} == {Unavailable}
    assert len(answers) == 1
    assert await gateway.organization_id() == OURS
    await gateway.aclose()


async def test_a_caller_who_goes_away_takes_the_answer_from_nobody_else(clock: LoopClock) -> None:
    gate = asyncio.Event()

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await gate.wait()
            return httpx.Response(200, json={"OrganizationId": str(OURS), "UserId": str(UUID(int=7))}, request=request)

    gateway = over(clock, Slow())
    first, second = (asyncio.ensure_future(gateway.organization_id()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    gate.set()
    assert await second == OURS
    with pytest.raises(asyncio.CancelledError):
        await first
    await gateway.aclose()


@pytest.mark.parametrize(
    "body", ["", "[]", "7", "{}", '{"OrganizationId": null}', '{"OrganizationId": "contoso"}', '{"OrganizationId": {}}']
)
async def test_an_answer_that_names_no_organization_is_unavailable(clock: LoopClock, body: str) -> None:
    gateway = scripted(clock, lambda _: httpx.Response(200, text=body))
    with pytest.raises(Unavailable):
        await gateway.organization_id()
    await gateway.aclose()
