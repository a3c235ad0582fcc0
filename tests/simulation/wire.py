"""The network between one worker and one side: late, lossy, throttled, and frozen together with its worker."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import httpx

from tests.simulation.process import Process
from tests.simulation.sent import SENT
from tests.simulation.trace import Trace
from tests.simulation.weather import Weather

type Server = Callable[[httpx.Request], Awaitable[httpx.Response]]

LATEST = 600.0
"""Seconds after which even the slowest request has been carried out."""


class Outage:
    """The spans of virtual time in which a side gives no answer, or only errors."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []

    def __contains__(self, now: float) -> bool:
        return any(start <= now < end for start, end in self.spans)


class Wire(httpx.AsyncBaseTransport):
    """Carries requests to `serve`. A request may be carried out although its sender never learns of it."""

    def __init__(
        self,
        side: str,
        serve: Server,
        process: Process,
        *,
        weather: Weather,
        rng: Random,
        trace: Trace,
        outage: Outage,
        stragglers: set[asyncio.Task[None]],
        violations: list[str],
    ) -> None:
        self._side = side
        self._serve = serve
        self._process = process
        self._weather = weather
        self._rng = rng
        self._trace = trace
        self._outage = outage
        self._stragglers = stragglers
        self._violations = violations
        self._closed_until = 0.0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request through the weather of the moment."""
        await request.aread()
        if (now := asyncio.get_running_loop().time()) < self._closed_until:
            self._violations.append(f"{now:.3f}: {self._process.name} asks {self._side} again before its Retry-After")
        SENT.set(asyncio.get_running_loop().time())
        expired = await self._process.hop(f"before {self._side} {request.method}")
        await asyncio.sleep(self._rng.uniform(0.002, 0.2))
        if asyncio.get_running_loop().time() in self._outage:
            raise httpx.ConnectError("outage", request=request)
        write = request.method in {"POST", "PATCH"} and not request.url.path.endswith("/consulta/")
        if self._happens("refused"):
            raise httpx.ConnectError("refused", request=request)
        if self._happens("throttled"):
            wait = self._rng.randint(1, 40) if self._rng.random() < 0.9 else self._rng.randint(100, 400)
            self._closed_until = asyncio.get_running_loop().time() + wait
            return httpx.Response(429, headers={"Retry-After": str(wait)}, request=request)
        if self._happens("broken"):
            return httpx.Response(503, text="<html>busy</html>", request=request)
        if write and self._happens("late"):
            self._later(request, self._rng.uniform(5.0, LATEST))
            await asyncio.sleep(self._rng.uniform(1.0, 30.0))
            raise httpx.ReadTimeout("late", request=request)
        response = await self._serve(request)
        await response.aread()
        await asyncio.sleep(self._rng.uniform(0.002, 0.2))
        if await self._process.hop(f"after {self._side} {request.method}") or expired:
            raise asyncio.CancelledError
        if self._happens("lost_answer"):
            self._trace(self._process.name, f"never sees the answer to {request.method} {self._side}")
            raise httpx.ReadTimeout("lost", request=request)
        return response

    def _later(self, request: httpx.Request, seconds: float) -> None:
        self._trace(self._process.name, f"{request.method} to {self._side} will be carried out {seconds:.0f} s late")

        async def carry() -> None:
            await asyncio.sleep(seconds)
            response = await self._serve(request)
            await response.aread()
            self._trace("network", f"carried out a late {request.method} to {self._side}: {response.status_code}")

        task = asyncio.get_running_loop().create_task(carry(), name=self._side)
        self._stragglers.add(task)
        task.add_done_callback(self._stragglers.discard)

    def _happens(self, kind: str) -> bool:
        probability: float = getattr(self._weather, kind)
        return probability > 0 and self._rng.random() < probability
