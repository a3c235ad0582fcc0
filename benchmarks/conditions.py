"""How slow the emulated Dataverse is and what it permits: the models under which everything is measured."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
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

TIGHT: Final = Conditions(
    costs=USUAL.costs,
    limits=Limits(requests=40, execution_seconds=20.0, concurrency=4, window_seconds=30.0),
    dop_hint=4,
)
"""The same, and a quota that other programs have nearly used up."""
