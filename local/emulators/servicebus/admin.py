"""A small HTTP endpoint beside the broker, so that another process can read its counts: `GET /counts`."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from local.emulators.servicebus.broker import Broker

_POLL_SECONDS = 0.01


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the process that embeds the server."""
        yield


def admin_app(broker: Broker) -> Starlette:
    """`GET /counts` answers `{queue: {active, scheduled, deferred, dead_lettered, locked}}`."""

    async def counts(_request: Request) -> JSONResponse:
        return JSONResponse({name: asdict(broker.counts(name)) for name in broker.queue_names})

    return Starlette(routes=[Route("/counts", counts)])


@asynccontextmanager
async def serve_admin(broker: Broker, port: int) -> AsyncIterator[str]:
    """Serve on the broker's host while the context is open; yields the base URL. Port 0 picks a free port.

    Raises:
        OSError: the port is taken.
    """
    config = uvicorn.Config(admin_app(broker), log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    server = _Server(config)
    with socket.create_server((broker.host, port)) as listener:
        task = asyncio.create_task(server.serve([listener]))
        try:
            while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn offers only a flag
                await asyncio.sleep(_POLL_SECONDS)
            yield f"http://{broker.host}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task
