"""Retry policies, which Azure applies to timers; HTTP and Service Bus triggers ignore them.

Source: https://learn.microsoft.com/azure/azure-functions/functions-bindings-error-pages#retry-policies
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

_FOREVER = -1


@dataclass(frozen=True)
class Retries:
    """How often a failed run is tried again, and how long after; a `most` of -1 is for ever."""

    most: int
    shortest: timedelta
    longest: timedelta

    @classmethod
    def of(cls, options: Any) -> "Retries | None":
        """The policy in the runtime's metadata of a function; None if the function has none."""
        if options is None:
            return None
        if options.retry_strategy == "fixed_delay":
            return cls(options.max_retry_count, options.delay_interval, options.delay_interval)
        return cls(options.max_retry_count, options.minimum_interval, options.maximum_interval)

    def allow(self, retry: int) -> bool:
        """Whether a run may be tried again for the `retry`-th time, from 1."""
        return self.most == _FOREVER or retry <= self.most

    def delay(self, retry: int) -> timedelta:
        """How long to wait before the `retry`-th time: doubling from the shortest to the longest."""
        factor: int = 1 << min(retry - 1, 30)
        return min(self.shortest * factor, self.longest)
