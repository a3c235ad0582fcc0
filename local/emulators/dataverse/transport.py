"""An httpx transport into the emulator without sockets, with the semantics of a network."""

import asyncio

import httpx
from starlette.types import ASGIApp

from local.emulators.dataverse.tasks import Tasks


class InProcessTransport(httpx.AsyncBaseTransport):
    """Carries requests to an ASGI application that goes on working when its client has given up.

    A read time-out raises `httpx.ReadTimeout`, and a cancelled caller leaves, while the request is carried out all the
    same, as on a server. Time passes by the event loop only, so a loop with virtual time works. Injected connection
    faults arrive as the httpx exceptions of a real connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._inner = httpx.ASGITransport(app)
        self._tasks: Tasks[httpx.Response] = Tasks()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request."""
        task = self._tasks.start(self._inner.handle_async_request(request))
        task.add_done_callback(_mark_error_as_seen)
        timeout = request.extensions.get("timeout", {}).get("read")
        done, _ = await asyncio.wait({task}, timeout=timeout)
        if not done:
            raise httpx.ReadTimeout(f"No answer within {timeout:g} s", request=request)
        return task.result()

    async def drain(self) -> None:
        """Wait until every request has been carried out, also those whose client has left."""
        await self._tasks.drain()

    async def aclose(self) -> None:
        """Give up the requests under way."""
        await self._tasks.cancel()


def _mark_error_as_seen(task: asyncio.Task[httpx.Response]) -> None:
    """Say nothing of an error whose client has left: nobody will await the task."""
    if not task.cancelled():
        task.exception()
