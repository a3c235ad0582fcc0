"""An event loop whose clock jumps to the next timer: hours pass in milliseconds, and nothing depends on the machine."""

import asyncio
import asyncio.base_events
from collections.abc import Coroutine
from typing import Any


class DeadlockError(Exception):
    """Every task waits for something that can never happen."""


class _Jump:
    """Stands where a real loop waits for sockets: it lets the virtual time pass instead."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise DeadlockError("No timer is set and no task can go on")
        self._loop.now += timeout
        return []

    def close(self) -> None:
        """Nothing is open."""


class VirtualLoop(asyncio.base_events.BaseEventLoop):
    """Single-threaded, without sockets. `now` is in seconds since the start."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._selector = _Jump(self)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Virtual seconds."""
        return self.now

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no sockets, so there are no events."""

    def _write_to_self(self) -> None:
        """No other thread wakes this loop."""


def run[T](main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
