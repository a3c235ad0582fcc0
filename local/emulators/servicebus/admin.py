"""A small HTTP endpoint beside the broker, by which another process reads its counts and switches its faults."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from datetime import timedelta

import uvicorn
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from local.emulators.servicebus.broker import Broker
from local.emulators.servicebus.faults import Faults

_POLL_SECONDS = 0.01


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the process that embeds the server."""
        yield


class RefusedSends(BaseModel):
    """With which AMQP condition the next sends are refused; `times` None is until it is lifted."""

    model_config = ConfigDict(extra="forbid")

    condition: str = "com.microsoft:server-busy"
    times: int | None = None


class Switches(BaseModel):
    """The body of `PUT /faults`; durations in seconds. What a request leaves out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    refuse_connections: bool | None = None
    delay_deliveries: timedelta | None = None
    delay_settlements: timedelta | None = None
    refuse_sends: RefusedSends | None = None
    break_connections: bool = False

    def throw(self, faults: Faults) -> None:
        """Switch the broker's faults."""
        for name in ("refuse_connections", "delay_deliveries", "delay_settlements"):
            value = getattr(self, name)
            if value is not None:
                setattr(faults, name, value)
        if self.refuse_sends is not None:
            faults.refuse_sends(self.refuse_sends.condition, times=self.refuse_sends.times)
        if self.break_connections:
            faults.break_connections()


NO_FAULTS = Switches(refuse_connections=False, delay_deliveries=timedelta(), delay_settlements=timedelta())


def admin_app(broker: Broker) -> Starlette:
    """`GET /counts` answers `{queue: {active, scheduled, deferred, dead_lettered, locked}}`.

    `PUT /faults` switches faults on and off, `DELETE /faults` switches all of them off.
    """

    async def counts(_request: Request) -> JSONResponse:
        return JSONResponse({name: asdict(broker.counts(name)) for name in broker.queue_names})

    async def faults(request: Request) -> JSONResponse:
        if request.method == "DELETE":
            NO_FAULTS.throw(broker.faults)
            broker.faults.accept_sends()
            return JSONResponse({})
        try:
            switches = Switches.model_validate_json(await request.body())
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            return JSONResponse({"error": problems}, 400)
        switches.throw(broker.faults)
        return JSONResponse(switches.model_dump(mode="json", exclude_unset=True))

    return Starlette(routes=[Route("/counts", counts), Route("/faults", faults, methods=["PUT", "DELETE"])])


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
