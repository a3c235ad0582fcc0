"""A worker's process: its clock is skewed, it may freeze, and it may die between any two awaits."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from tests.simulation.trace import Trace
from tests.simulation.weather import Weather

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
LONGEST_STALL = 500.0


def world_time() -> datetime:
    """The true instant."""
    return START + timedelta(seconds=asyncio.get_running_loop().time())


class Process:
    """Implements the flows' `Clock`. Everything that the worker runs is started by `run`, and dies with it."""

    def __init__(self, name: str, skew: float, weather: Weather, rng: Random, trace: Trace) -> None:
        self.name = name
        self._skew = timedelta(seconds=skew)
        self._weather = weather
        self._rng = rng
        self._trace = trace
        self._tasks: set[asyncio.Task[Any]] = set()
        self.dead = asyncio.Event()
        self.thaws_at = 0.0
        """When it goes on, after a freeze; until then nobody knows what it is about to do."""

    def now(self) -> datetime:
        """This machine's idea of the time."""
        return world_time() + self._skew

    def monotonic(self) -> float:
        """Virtual seconds."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)

    def run[T](self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start something that ends when the process does."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def die(self, why: str) -> None:
        """End at once: nothing is given back, finished or told."""
        if not self.dead.is_set():
            self._trace(self.name, f"dies {why}")
            self.dead.set()
            for task in tuple(self._tasks):
                task.cancel()

    async def hop(self, where: str) -> bool:
        """A point at which the process may die or freeze; every call of another machine has one on each side.

        True means that a time-out has struck while the process was frozen. It has not noticed: the caller goes on
        with what comes next, as a thawing process does, and then raises CancelledError.
        """
        if self.dead.is_set():
            raise asyncio.CancelledError  # a cancellation may have been lost to an exception that came first
        if self._weather.kill and self._rng.random() < self._weather.kill:
            self.die(where)
            await asyncio.sleep(0)
        if self._weather.stall and self._rng.random() < self._weather.stall:
            return await self._freeze(where)
        return False

    async def _freeze(self, where: str) -> bool:
        loop = asyncio.get_running_loop()
        self.thaws_at = end = loop.time() + self._rng.uniform(30.0, LONGEST_STALL)
        self._trace(self.name, f"freezes {where} for {end - loop.time():.0f} s")
        cancelled = False
        while (rest := end - loop.time()) > 0:
            try:
                await asyncio.sleep(rest)
            except asyncio.CancelledError:
                if self.dead.is_set():
                    raise
                cancelled = True
        return cancelled
