"""One gate for all requests to a service: closed until it wants us back, open to as many at a time as it hints."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from shared import telemetry
from shared.errors import Throttled, Unavailable
from shared.flows.ports.engine import Clock

FIRST_WIDTH: Final = 2
"""Requests at a time until the service hints at more: several workers share one organization's 52."""

WIDEST: Final = 8
FAILURES_TO_OPEN: Final = 5
FIRST_BREAK: Final = timedelta(seconds=15)
LONGEST_BREAK: Final = timedelta(minutes=5)
# Where a 429 names no wait.
_USUAL_WAIT: Final = timedelta(seconds=5)
# A wait this short, in seconds, is cheaper here than a message's way back over the queue.
SHORT_WAIT: Final = 2.0


class Gate:
    """Serves throttling, the circuit breaker and the degree of parallelism.

    See https://learn.microsoft.com/power-apps/developer/data-platform/api-limits for `Retry-After`, and
    https://learn.microsoft.com/power-apps/developer/data-platform/send-parallel-requests for `x-ms-dop-hint`.
    """

    def __init__(self, clock: Clock, name: str, *, width: int = FIRST_WIDTH) -> None:
        """`name` is what messages call the service; `width` holds until a hint changes it."""
        self._clock = clock
        self._name = name
        self._width = width
        self._inside = 0
        self._closed_until = 0.0
        self._throttled = False
        self._failures = 0
        self._break = FIRST_BREAK
        self._half_open = False
        # Replaced at each change; a lock would have to be awaited on the way out, where a cancellation loses the place.
        self._change = asyncio.Event()

    @property
    def width(self) -> int:
        """Requests that may be under way at a time; after a break one, until it is answered."""
        return 1 if self._half_open else self._width

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Wait for a place and hold it.

        Raises:
            Throttled: The service asked us to stay away for longer than is worth waiting here.
            Unavailable: The breaker is open: the service failed several times in a row.
        """
        while self._inside >= self.width:
            await self._change.wait()
        self._inside += 1
        try:
            await self._wait_open()
            yield
        finally:
            self._inside -= 1
            self._change.set()
            self._change = asyncio.Event()

    def hint(self, width: int) -> None:
        """Move towards the width that the service hints at: wider one step at a time, narrower at once."""
        wanted = max(1, min(width, WIDEST))
        self._width = min(wanted, self._width + 1)

    def succeeded(self) -> None:
        """The service answered: the breaker closes."""
        self._failures = 0
        self._break = FIRST_BREAK
        self._half_open = False

    def throttled(self, wait: timedelta | None) -> None:
        """The service asked us to stay away; half the width, until it hints at more."""
        telemetry.count("sync.throttles", service=self._name)
        self.succeeded()
        self._width = max(1, self._width // 2)
        self._close(wait or _USUAL_WAIT, throttled=True)

    def failed(self, wait: timedelta | None = None) -> None:
        """The service is down, and may have said for how long; the fifth such answer in a row opens the breaker.

        Which answers say so: `shared/adapters/http/verdict.py`.
        """
        if wait:
            self._close(wait, throttled=False)
        if self._half_open and self._closed_for > 0:
            return  # it was sent before the breaker opened, and tells nothing new
        self._failures += 1
        if self._failures >= FAILURES_TO_OPEN:
            self._close(self._break, throttled=False)
            self._half_open = True
            # One more failure opens it again at once, for longer.
            self._failures = FAILURES_TO_OPEN - 1
            self._break = min(self._break * 2, LONGEST_BREAK)

    @property
    def _closed_for(self) -> float:
        return self._closed_until - self._clock.monotonic()

    def _close(self, wait: timedelta, *, throttled: bool) -> None:
        until = self._clock.monotonic() + wait.total_seconds()
        if until > self._closed_until:
            self._closed_until = until
            self._throttled = throttled

    async def _wait_open(self) -> None:
        # Looked at again after each wait: another answer may have closed the gate for longer.
        while (wait := self._closed_for) > 0:
            if wait <= SHORT_WAIT:
                await asyncio.sleep(wait)
                continue
            again = timedelta(seconds=wait)
            if self._throttled:
                raise Throttled(f"{self._name} asked us to stay away for {wait:.0f} s.", retry_after=again)
            raise Unavailable(
                f"{self._name} did not answer well and is left alone for {wait:.0f} s.", retry_after=again, sent=False
            )
