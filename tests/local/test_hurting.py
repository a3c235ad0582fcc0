"""The faults of the demo CMMS: each rule strikes as often as it says, and the rest is served."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from local.hurting import PATH, Hurting


@pytest_asyncio.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    calls: list[str] = []

    async def served(request: Request) -> PlainTextResponse:
        calls.append(request.method)
        return PlainTextResponse(f"call {len(calls)}")

    app = Hurting(Starlette(routes=[Route("/", served, methods=["GET", "POST"])]))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://cmms") as opened:
        yield opened


async def test_a_status_is_answered_as_often_as_it_says_instead_of_the_application(
    client: httpx.AsyncClient,
) -> None:
    rule = {"effect": "status", "status": 429, "retry_after": "5", "times": 2}
    assert (await client.post(PATH, json=rule)).status_code == 200

    answers = [await client.get("/") for _ in range(3)]

    assert [each.status_code for each in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "5"
    assert answers[2].text == "call 1"


async def test_a_lost_answer_was_carried_out(client: httpx.AsyncClient) -> None:
    await client.post(PATH, json={"effect": "lost_answer", "times": 1})

    with pytest.raises(ConnectionError):
        await client.post("/")

    assert (await client.get("/")).text == "call 2"


async def test_rules_are_shown_and_lifted(client: httpx.AsyncClient) -> None:
    await client.post(PATH, json={"effect": "slow", "seconds": 0.0})
    assert (await client.get("/")).text == "call 1"
    assert [rule["struck"] for rule in (await client.get(PATH)).json()] == [1]

    assert (await client.delete(PATH)).json() == []


@pytest.mark.parametrize("rule", [{}, {"effect": "explode"}, {"effect": "slow", "secnds": 1}])
async def test_a_rule_that_means_nothing_is_refused(client: httpx.AsyncClient, rule: dict[str, object]) -> None:
    assert (await client.post(PATH, json=rule)).status_code == 400
    assert (await client.get(PATH)).json() == []
