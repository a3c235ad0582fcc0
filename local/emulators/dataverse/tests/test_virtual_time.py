"""The emulator takes every time from its clock and its event loop, so that simulations can run it fast."""

import asyncio
import selectors
import time
from datetime import UTC, datetime, timedelta

import httpx

from local.emulators.dataverse import (
    Costs,
    Dataverse,
    InProcessTransport,
    SystemUser,
    Webhook,
    WebhookSender,
    create_app,
)
from local.emulators.dataverse.tests.conftest import AUDIENCE, KEY, client_of
from local.emulators.dataverse.tests.test_faults import NEW
from local.emulators.identity import mint_token

START = datetime(2026, 3, 1, tzinfo=UTC)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time jumps to the next timer when nothing else is to do."""

    def __init__(self) -> None:
        super().__init__(_JumpingSelector(self))
        self.passed = 0.0

    def time(self) -> float:
        return self.passed


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self._loop.passed += timeout
        return ready


def test_hours_of_costs_limits_and_time_outs_pass_in_no_time() -> None:
    async def never(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(3600)
        return httpx.Response(202)

    async def play() -> tuple[float, list[str | None], int]:
        loop = asyncio.get_running_loop()
        dataverse = Dataverse(
            users=[SystemUser.of("Integration", "app-1")],
            clock=lambda: START + timedelta(seconds=loop.time()),
            costs=Costs(request=100, create_row=10),
        )
        webhook = Webhook("https://functions.example/", "msdyn_customerasset")
        sender = WebhookSender(dataverse, [webhook], transport=httpx.MockTransport(never))
        transport = InProcessTransport(create_app(dataverse, signing_key=KEY, audiences=[AUDIENCE], webhooks=sender))
        token = mint_token(KEY, resource=AUDIENCE, client_id="app-1", now=START)
        async with client_of(transport, token) as client:
            response = await client.post("msdyn_customerassets", json=NEW, timeout=120)
        await sender.drain()
        errors = [one.error for one in sender.deliveries]
        await sender.aclose()
        return loop.time(), errors, response.status_code

    started = time.monotonic()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        passed, errors, status = runner.run(play())
    assert (status, errors) == (204, ["no answer within 60 s"])
    assert 170 <= passed < 171
    assert time.monotonic() - started < 60
