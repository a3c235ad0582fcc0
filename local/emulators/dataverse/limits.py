"""Service protection: per user, three limits over a sliding window.

https://learn.microsoft.com/power-apps/developer/data-platform/api-limits
"""

import math
from collections import deque
from dataclasses import dataclass, field
from uuid import UUID

from local.emulators.dataverse.errors import DataverseError, Refusal


@dataclass(slots=True)
class Limits:
    """The three limits, in requests, seconds of execution and requests at once; None switches one off."""

    requests: int | None = 6000
    execution_seconds: float | None = 1200.0
    concurrency: int | None = 52
    window_seconds: float = 300.0


@dataclass(slots=True)
class _Usage:
    started: deque[float] = field(default_factory=deque)
    executed: deque[tuple[float, float]] = field(default_factory=deque)
    execution_seconds: float = 0.0
    under_way: int = 0


class ServiceProtection:
    """Counts each user's requests; times are seconds of the organisation's clock. A refused request does not count."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._usage: dict[UUID, _Usage] = {}

    def enter(self, user_id: UUID, now: float) -> dict[str, str]:
        """Admit a request and tell what remains, as headers; each admission needs a `leave`.

        Raises:
            DataverseError: THROTTLED_*, with `Retry-After` in whole seconds.

        """
        usage, limits = self._current(user_id, now), self.limits
        if limits.concurrency is not None and usage.under_way >= limits.concurrency:
            raise _throttled(Refusal.THROTTLED_CONCURRENCY(limit=limits.concurrency), 1.0)
        if limits.requests is not None and len(usage.started) >= limits.requests:
            wait = usage.started[0] + limits.window_seconds - now
            raise _throttled(
                Refusal.THROTTLED_REQUESTS(limit=limits.requests, window=f"{limits.window_seconds:g}"), wait
            )
        if limits.execution_seconds is not None and usage.execution_seconds >= limits.execution_seconds:
            wait = usage.executed[0][0] + limits.window_seconds - now
            milliseconds = f"{limits.execution_seconds * 1000:g}"
            raise _throttled(Refusal.THROTTLED_TIME(limit=milliseconds, window=f"{limits.window_seconds:g}"), wait)
        usage.started.append(now)
        usage.under_way += 1
        remaining: dict[str, str] = {}
        if limits.requests is not None:
            remaining["x-ms-ratelimit-burst-remaining-xrm-requests"] = str(limits.requests - len(usage.started))
        if limits.execution_seconds is not None:
            left = limits.execution_seconds - usage.execution_seconds
            remaining["x-ms-ratelimit-time-remaining-xrm-requests"] = f"{left:.2f}"
        return remaining

    def leave(self, user_id: UUID, started: float, now: float) -> None:
        """Count a request's execution time when it ends."""
        usage = self._current(user_id, now)
        usage.under_way -= 1
        usage.executed.append((now, now - started))
        usage.execution_seconds += now - started

    def _current(self, user_id: UUID, now: float) -> _Usage:
        usage = self._usage.setdefault(user_id, _Usage())
        horizon = now - self.limits.window_seconds
        while usage.started and usage.started[0] <= horizon:
            usage.started.popleft()
        while usage.executed and usage.executed[0][0] <= horizon:
            usage.execution_seconds -= usage.executed.popleft()[1]
        return usage


def _throttled(error: DataverseError, wait_seconds: float) -> DataverseError:
    error.headers["Retry-After"] = str(max(1, math.ceil(wait_seconds)))
    return error
