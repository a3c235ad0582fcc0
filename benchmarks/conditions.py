"""How slow the emulated Dataverse is and what it permits: the models under which everything is measured."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final


@dataclass(frozen=True)
class Limits:
    """Service protection: requests, seconds of execution and requests at once, in a window of so many seconds.

    The defaults are Microsoft's: https://learn.microsoft.com/power-apps/developer/data-platform/api-limits
    """

    requests: int = 6000
    execution_seconds: float = 1200.0
    concurrency: int = 52
    window_seconds: float = 300.0


@dataclass(frozen=True)
class Conditions:
    """What the emulated Dataverse is told at its start; `costs` are seconds, such as `{"request": 0.1}`."""

    costs: Mapping[str, float] = field(default_factory=dict)
    limits: Limits = Limits()
    dop_hint: int = 8
    durable: bool = False
    """Whether the rows outlive a stop of Dataverse."""

    def config(self) -> dict[str, Any]:
        """The emulator's part of the configuration file."""
        return {"costs": dict(self.costs), "limits": asdict(self.limits), "dop_hint": self.dop_hint}


FREE: Final = Conditions()
"""No latency: what remains is the work of the programs themselves."""

USUAL: Final = Conditions(costs={"request": 0.1, "create_row": 0.005, "update_row": 0.005})
"""100 ms for a request and 5 ms for a row created or updated, whatever carries the row; Microsoft's limits."""

_LEAST_EXECUTION: Final = 0.5
"""Seconds: less than a few requests take would be no quota but a refusal."""


def tight(records: int, window_seconds: float) -> Conditions:
    """A quota that other programs have nearly used up: in a window four tenths of the time that the rows take.

    So the rows of any size need three windows; 10,000 rows may use 20 s of execution in each.
    """
    execution = max(_LEAST_EXECUTION, records * USUAL.costs["create_row"] * 0.4)
    limits = Limits(requests=40, execution_seconds=execution, concurrency=4, window_seconds=window_seconds)
    return replace(USUAL, limits=limits, dop_hint=4)


def scaled(records: int, window_seconds: float) -> Conditions:
    """Microsoft's 6,000 requests for 10,000 records, in proportion to the records and in a shorter window."""
    limits = Limits(requests=max(1, records * 6 // 10), window_seconds=window_seconds)
    return replace(USUAL, limits=limits)


def permitted_seconds(conditions: Conditions, rows: int, chunk: int) -> float:
    """The time in which the quota admits so many rows in requests of `chunk` rows, in rounds.

    A request is admitted while what the window has used is below its share, however much it then uses: as many begin as
    may be under way at once, and when they have used the share up, the next ones begin a window later.
    """
    limits, request = conditions.limits, conditions.costs["request"] + chunk * conditions.costs["create_row"]
    passed = used = 0.0
    for left in range(math.ceil(rows / chunk), 0, -limits.concurrency):
        if used >= limits.execution_seconds:
            passed, used = passed + limits.window_seconds, 0.0
        passed, used = passed + request, used + request * min(left, limits.concurrency)
    return passed
