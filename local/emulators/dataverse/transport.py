"""An httpx transport into the emulator without sockets, with the semantics of a network."""

import asyncio

import httpx
from starlette.types import ASGIApp


class InProcessTransport(httpx.AsyncBaseTransport):
    """Carries requests to an ASGI application that goes on working when its client has given up.

    A read time-out raises `httpx.ReadTimeout`, and a cancelled caller leaves, while the request is carried out all the
    same, as on a server. Time passes by the event loop only, so a loop with virtual time works. Injected connection
    faults arrive as the httpx exceptions of a real connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._inner = httpx.ASGITransport(app)
        self._tasks: set[asyncio.Task[httpx.Response]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request."""
        task = asyncio.get_running_loop().create_task(self._inner.handle_async_request(request))
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        timeout = request.extensions.get("timeout", {}).get("read")
        done, _ = await asyncio.wait({task}, timeout=timeout)
        if not done:
            raise httpx.ReadTimeout(f"No answer within {timeout:g} s", request=request)
        return task.result()

    async def drain(self) -> None:
        """Wait until every request has been carried out, also those whose client has left."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def aclose(self) -> None:
        """Give up the requests under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _forget(self, task: asyncio.Task[httpx.Response]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Marks an error as seen when the client has left and nobody will await the task.
            task.exception()
