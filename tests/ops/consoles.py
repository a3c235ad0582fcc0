"""The console over HTTP, without a browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from ops.console.app import create_app
from ops.console.guard import form_token
from tests.ops.desks import FakeDesk

PORT = 7999
TOKEN = "a-token-of-this-test"
BASE = f"http://127.0.0.1:{PORT}"


@asynccontextmanager
async def browser(desk: FakeDesk, **options: object) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(desk, token=TOKEN, port=PORT))
    async with httpx.AsyncClient(transport=transport, base_url=BASE, **options) as client:  # type: ignore[arg-type]
        yield client


@asynccontextmanager
async def signed_in(desk: FakeDesk) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(desk) as client:
        opened = await client.get("/", params={"token": TOKEN})
        assert opened.status_code == 200
        yield client


def form(**values: object) -> dict[str, object]:
    return {"token": form_token(TOKEN), **values}
