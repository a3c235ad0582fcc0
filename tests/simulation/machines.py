"""The machines of a run: each starts a worker anew when the last one has died, with a clock of its own."""

import asyncio
from collections.abc import Callable
from random import Random

from tests.simulation.process import Process
from tests.simulation.trace import Trace
from tests.simulation.weather import Weather
from tests.simulation.worker import Worker


class Machines:
    """Some machines; `workers` are those that live. `make` makes a worker that runs as a process."""

    def __init__(
        self,
        make: Callable[[Process], Worker],
        weather: Weather,
        rng: Random,
        trace: Trace,
        stragglers: set[asyncio.Task[None]],
    ) -> None:
        self._make = make
        self._weather = weather
        self._rng = rng
        self._trace = trace
        self._stragglers = stragglers
        self._supervisors: list[asyncio.Task[None]] = []
        self.workers: list[Worker] = []

    def start(self, number: int) -> None:
        """Let so many machines run, until `end`."""
        self._supervisors += [asyncio.create_task(self._supervise(one)) for one in range(number)]

    def restart(self, why: str, offline: str | None = None) -> None:
        """End all workers; their machines start new ones, with the mapping of then.

        What is under way to a side that is `offline` meanwhile ends with its connection.
        """
        for worker in self.workers:
            worker.process.die(why)
        for late in self._stragglers:
            if late.get_name() == offline:
                late.cancel()

    async def end(self) -> None:
        """End the machines, and then their workers."""
        for supervisor in self._supervisors:
            supervisor.cancel()
        await asyncio.gather(*self._supervisors, return_exceptions=True)
        for worker in self.workers:
            worker.process.die("at the end")
            await worker.aclose()

    async def _supervise(self, number: int) -> None:
        life = 0
        while True:
            skew = self._rng.uniform(-self._weather.skew, self._weather.skew)
            worker = self._make(Process(f"w{number}.{life}", skew, self._weather, self._rng, self._trace))
            self.workers.append(worker)
            worker.start()
            await worker.process.dead.wait()
            await worker.aclose()
            self.workers.remove(worker)
            await asyncio.sleep(self._rng.uniform(0.5, 30.0))
            life += 1
