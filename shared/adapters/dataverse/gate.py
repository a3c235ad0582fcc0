"""One gate for all requests to a service: closed until it wants us back, open to as many at a time as it hints."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from shared.errors import Throttled, Unavailable
from shared.flows.ports import Clock

FIRST_WIDTH: Final = 2
"""Requests at a time until the service hints at more: several workers share one organization's 52."""

WIDEST: Final = 8
FAILURES_TO_OPEN: Final = 5
FIRST_BREAK: Final = timedelta(seconds=15)
LONGEST_BREAK: Final = timedelta(minutes=5)
# A wait this short is cheaper here than a message's way back over the queue.
SHORT_WAIT: Final = 2.0


class Gate:
    """Serves throttling, the circuit breaker and the degree of parallelism.

    See https://learn.microsoft.com/power-apps/developer/data-platform/api-limits for `Retry-After`, and
    https://learn.microsoft.com/power-apps/developer/data-platform/send-parallel-requests for `x-ms-dop-hint`.
    """

    def __init__(self, clock: Clock, name: str) -> None:
        """`name` is what messages call the service."""
        self._clock = clock
        self._name = name
        self._width = FIRST_WIDTH
        self._inside = 0
        self._closed_until = 0.0
        self._throttled = False
        self._failures = 0
        self._break = FIRST_BREAK
        self._changed = asyncio.Condition()

    @property
    def width(self) -> int:
        """Requests that may be under way at a time."""
        return self._width

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Wait for a place and hold it.

        Raises:
            Throttled: The service asked us to stay away for longer than is worth waiting here.
            Unavailable: The breaker is open: the service failed several times in a row.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._inside < self._width)
            self._inside += 1
        try:
            await self._wait_open()
            yield
        finally:
            async with self._changed:
                self._inside -= 1
                self._changed.notify()

    def hint(self, width: int) -> None:
        """Move towards the width that the service hints at, one step at a time."""
        wanted = max(1, min(width, WIDEST))
        if wanted > self._width:
            self._width += 1
        else:
            self._width = wanted

    def succeeded(self) -> None:
        """The service answered: the breaker closes."""
        self._failures = 0
        self._break = FIRST_BREAK

    def throttled(self, wait: timedelta | None) -> None:
        """The service asked us to stay away; half the width, until it hints at more."""
        self._width = max(1, self._width // 2)
        self._close(wait or timedelta(seconds=5), throttled=True)

    def failed(self) -> None:
        """The service gave no usable answer; the fifth time in a row opens the breaker."""
        self._failures += 1
        if self._failures >= FAILURES_TO_OPEN:
            self._close(self._break, throttled=False)
            # One more failure opens it again at once, for longer.
            self._failures = FAILURES_TO_OPEN - 1
            self._break = min(self._break * 2, LONGEST_BREAK)

    def _close(self, wait: timedelta, *, throttled: bool) -> None:
        until = self._clock.monotonic() + wait.total_seconds()
        if until > self._closed_until:
            self._closed_until = until
            self._throttled = throttled

    async def _wait_open(self) -> None:
        wait = self._closed_until - self._clock.monotonic()
        if wait <= 0:
            return
        if wait <= SHORT_WAIT:
            await asyncio.sleep(wait)
            return
        if self._throttled:
            raise Throttled(
                f"{self._name} asked us to stay away for {wait:.0f} s.", retry_after=timedelta(seconds=wait)
            )
        raise Unavailable(
            f"{self._name} failed {FAILURES_TO_OPEN} times in a row and is left alone for {wait:.0f} s.",
            retry_after=timedelta(seconds=wait),
            sent=False,
        )
