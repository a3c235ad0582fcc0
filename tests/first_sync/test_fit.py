"""A plan is refused once it no longer says what a run would do: docs/first-sync.md, "When a plan no longer fits"."""

import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.flows.operate.first_sync.choices import choose
from shared.flows.operate.first_sync.classify import Kind
from shared.flows.operate.first_sync.fit import drifted, outdated
from shared.flows.operate.first_sync.memory import Counts, StoredPlan
from shared.flows.operate.first_sync.plan import EntityPlan
from tests.fakes import document_mapping

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
MAPPING = document_mapping()
ASSET = MAPPING.entities["asset"]


def plan(*, linked: int = 0, changed: int = 0, **kinds: int) -> EntityPlan:
    counts = Counter({Kind.EQUAL: 7000, Kind.ONLY_IN_CMMS: 3000, Kind.KEY_DOUBLED: 100})
    counts.update({Kind(name): by for name, by in kinds.items()})
    return EntityPlan("asset", records=10_000, rows=7000, linked_records=linked, kinds=counts, changed=changed)


def stored(at: datetime = NOW) -> StoredPlan:
    return StoredPlan(at=at, choices=choose(MAPPING), entities={"asset": Counts.of(ASSET, plan())})


@pytest.mark.parametrize(
    ("now", "fits"),
    [
        (plan(), True),
        (plan(only_in_cmms=100), True),
        (plan(only_in_cmms=101), False),
        (plan(equal=-101), False),
        (plan(equal=-6000, only_in_cmms=-2000, linked=8000), True),
        (plan(equal=-6000, only_in_cmms=-2000, linked=3000), False),
        (plan(key_doubled=-100), True),
        (plan(key_nearly_equal=101), False),
        (plan(changed=100), True),
        (plan(changed=101), False),
    ],
    ids=[
        "the same",
        "1% more",
        "more than 1% more",
        "fewer without being linked",
        "fewer as a run has linked them",
        "fewer than a run has linked",
        "somebody corrected the doubled keys",
        "more for a person",
        "1% changed",
        "more than 1% changed",
    ],
)
def test_counts_may_differ_by_a_hundredth_and_by_what_a_run_has_done(now: EntityPlan, fits: bool) -> None:
    assert (not drifted(stored(), [now])) is fits


@pytest.mark.parametrize(
    ("age", "last", "fits"),
    [(23, None, True), (25, None, False), (30, 1, True), (60, 25, False)],
    ids=["of today", "of yesterday", "its run was alive an hour ago", "its run was abandoned"],
)
def test_a_plan_is_good_for_a_day_after_it_was_made_or_last_worked_on(age: int, last: int | None, fits: bool) -> None:
    alive = None if last is None else NOW - timedelta(hours=last)
    assert (not outdated(stored(NOW - timedelta(hours=age)), MAPPING, NOW, alive)) is fits


def test_the_mapping_s_fingerprint_is_the_same_in_every_process() -> None:
    program = (
        "from tests.fakes import document_mapping as mapping;"
        "from shared.flows.operate.first_sync.memory import mapping_fingerprint as fingerprint;"
        "print(*map(fingerprint, mapping().entities.values()))"
    )
    found = {
        subprocess.run(  # noqa: S603  # our own interpreter
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1


@pytest.mark.parametrize(
    "change", [{"on_conflict": "dynamics"}, {"column": "msdyn_other"}, {"length": 7}], ids=["rule", "column", "limit"]
)
def test_any_change_of_the_mapping_needs_a_new_plan(change: dict[str, object]) -> None:
    fields = {**ASSET.fields, "nombre": ASSET.fields["nombre"].model_copy(update=change)}
    changed = MAPPING.model_copy(
        update={"entities": MAPPING.entities | {"asset": ASSET.model_copy(update={"fields": fields})}}
    )
    assert outdated(stored(), MAPPING, NOW, None) == []
    (problem,) = outdated(stored(), changed, NOW, None)
    assert "mapping of asset" in problem
