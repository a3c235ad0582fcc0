"""The time that a plan promises, by the limits that docs/first-sync.md names."""

from collections import Counter

import pytest

from shared.domain.model import Side
from shared.flows.operate.first_sync.estimate import estimate
from shared.flows.operate.first_sync.plan import EntityPlan


def made(side: Side, count: int) -> Counter[Side]:
    return Counter({side: count})


@pytest.mark.parametrize(
    ("plan", "rate", "seconds", "bound_by"),
    [
        (EntityPlan("asset", messages=10_000), 100.0, 100.0, "rate"),
        (EntityPlan("asset", messages=60_000, creates=made("dynamics", 60_000)), 1e4, 330.0, "execution time"),
        (EntityPlan("asset", messages=1000, creates=made("cmms", 1000)), 1e4, 12.5, "CMMS"),
    ],
)
def test_the_shortest_time_is_what_takes_the_longest(
    plan: EntityPlan, rate: float, seconds: float, bound_by: str
) -> None:
    found = estimate([plan], rate)
    assert found.seconds == pytest.approx(seconds)
    assert bound_by in found.bound_by
