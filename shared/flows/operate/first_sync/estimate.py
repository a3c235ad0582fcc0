"""How many requests a first sync sends, and how long it takes at least. Pure, no I/O.

Dataverse admits one user, on one of its web servers, 6,000 requests and 20 minutes of combined execution time within
five minutes: https://learn.microsoft.com/power-apps/developer/data-platform/api-limits. A batch counts as one request
there, and its execution time in full.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import Final

from shared.flows.operate.first_sync.plan import EntityPlan
from shared.flows.sync.lanes import LANE

WINDOW: Final = 300.0
"""Seconds of the sliding window of the limits."""
REQUESTS: Final = 6000
EXECUTION: Final = 20 * 60.0
ROWS: Final = 250
"""Rows in one request that writes, before the adapter has learned that more go through."""

# Assumptions, of which the docs say that a sandbox tells better: seconds of Dataverse's execution time.
CREATED_ROW: Final = 0.02
UPDATED_ROW: Final = 0.05
READ_ROW: Final = 0.001
# Seconds of one request to the CMMS, of which each worker sends four at a time.
CMMS_WRITE: Final = 0.05
CMMS_AT_A_TIME: Final = 4


@dataclass(frozen=True)
class Estimate:
    """Requests and seconds; `bound_by` says what takes the longest."""

    dynamics_requests: int
    cmms_requests: int
    execution_seconds: float
    seconds: float
    bound_by: str


def estimate(plans: Iterable[EntityPlan], rate: float) -> Estimate:
    """Estimate a run.

    Args:
        plans: Its entities.
        rate: Messages that it hands over in a second, at most.

    Returns:
        The shortest time, that is with enough workers and nothing else going on.
    """
    found = list(plans)
    messages = sum(one.messages for one in found)
    creates, updates = sum(one.creates["dynamics"] for one in found), sum(one.updates["dynamics"] for one in found)
    to_cmms = sum(one.creates["cmms"] + one.updates["cmms"] for one in found)
    lanes = ceil(messages / LANE)
    # A lane reads its rows once by key, and those of the webhooks that its writes cause once by id.
    requests = 2 * lanes + ceil(creates / ROWS) + ceil(updates / ROWS)
    execution = creates * CREATED_ROW + updates * UPDATED_ROW + 2 * messages * READ_ROW
    bounds = {
        "the rate at which messages are handed over": messages / rate,
        "Dataverse's limit of requests": requests / REQUESTS * WINDOW,
        "Dataverse's limit of execution time": execution / EXECUTION * WINDOW,
        "the CMMS's API": to_cmms * CMMS_WRITE / CMMS_AT_A_TIME,
    }
    longest = max(bounds, key=lambda name: bounds[name])
    return Estimate(requests, 2 * lanes + to_cmms, execution, bounds[longest], longest)
