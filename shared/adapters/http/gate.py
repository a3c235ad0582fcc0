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
BREAK: Final = timedelta(seconds=5)
"""Between two looks whether a service that was down is back: seldom enough to burden nobody, however long it lasts."""
NARROWED: Final = timedelta(minutes=5)
"""How long a width that was refused is not tried again: the window of Dataverse's limits."""
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
        self._width = self._widest = width
        self._refused_width = WIDEST + 1
        self._refused_until = 0.0
        self.inside = 0
        self._closed_until = 0.0
        self._throttled = False
        self._failures = 0
        self._half_open = False
        # Replaced at each change; a lock would have to be awaited on the way out, where a cancellation loses the place.
        self._change = asyncio.Event()

    @property
    def width(self) -> int:
        """Requests that may be under way at a time; after a break one, until it is answered."""
        return 1 if self._half_open else self._width

    @property
    def is_down(self) -> bool:
        """Whether the service failed several times in a row, and has not answered since."""
        return self._half_open

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Wait for a place and hold it.

        Raises:
            Throttled: The service asked us to stay away for longer than is worth waiting here.
            Unavailable: The breaker is open: the service failed several times in a row.
        """
        while self.inside >= self.width:
            await self._change.wait()
        self.inside += 1
        try:
            await self._wait_open()
            yield
        finally:
            self.inside -= 1
            self._change.set()
            self._change = asyncio.Event()

    def hint(self, width: int) -> None:
        """The width that the service hints at: narrower at once, wider with the next answers."""
        self._widest = max(1, min(width, WIDEST))
        self._width = min(self._width, self._widest)

    def succeeded(self) -> None:
        """The service answered: the breaker closes, and one request more may be under way."""
        self._answers()
        refused = self._clock.monotonic() < self._refused_until
        most = min(self._widest, self._refused_width - 1) if refused else self._widest
        self._width = min(self._width + 1, max(most, 1))

    def throttled(self, wait: timedelta | None) -> None:
        """The service asked us to stay away; half the width, and what was too wide is not tried again soon."""
        telemetry.count("sync.throttles", service=self._name)
        self._answers()
        self._refused_width = self._width
        self._refused_until = self._clock.monotonic() + NARROWED.total_seconds()
        self._width = max(1, self._width // 2)
        self._close(wait or _USUAL_WAIT, throttled=True)

    def _answers(self) -> None:
        self._failures = 0
        self._half_open = False

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
            self._close(BREAK, throttled=False)
            self._half_open = True
            # A service that has just come back is asked by one request more with each answer.
            self._width = 1
            # One more failure opens it again at once.
            self._failures = FAILURES_TO_OPEN - 1

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
