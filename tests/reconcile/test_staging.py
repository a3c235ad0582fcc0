"""The temporary file of a sweep: what is joined, whatever the rows are, and what a full disk means."""

from random import Random

import pytest

from shared.errors import Unavailable
from shared.flows.reconcile.staging import AGREED, DELETED, OPEN, Staging


def candidates(staging: Staging) -> set[str]:
    staging.join()
    return {key for chunk in staging.candidates(7) for key in chunk}


def agree(staging: Staging, count: int, page: int = 100) -> None:
    """Stage records on which all three agree, in an order of its own on each side."""
    numbers = list(range(count))
    for source in ("ledger", "dynamics", "cmms"):
        Random(source).shuffle(numbers)  # noqa: S311  # repeatable, not secret
        for start in range(0, count, page):
            some = numbers[start : start + page]
            if source == "ledger":
                staging.add_ledger([(f"K-{n}", f"id-{n}", n, -n, AGREED) for n in some])
            elif source == "dynamics":
                staging.add_dynamics([(f"id-{n}", f"K-{n}", -n, False) for n in some])
            else:
                staging.add_cmms([(f"K-{n}", n) for n in some])


def test_records_that_agree_are_no_candidates() -> None:
    with Staging() as staging:
        agree(staging, 1000)
        assert candidates(staging) == set()
        assert (staging.ledger_rows, staging.dynamics_rows, staging.cmms_rows) == (1000, 1000, 1000)


def test_every_kind_of_difference_is_a_candidate_and_nothing_else() -> None:
    with Staging() as staging:
        agree(staging, 1000)
        staging.add_ledger(
            [
                ("cmms ahead", "a", 1, 2, AGREED),
                ("dynamics ahead", "b", 1, 2, AGREED),
                ("gone", "c", 1, 2, AGREED),
                ("not in the CMMS", "d", 1, 2, AGREED),
                ("under way", "e", 1, 2, OPEN),
                ("deleted", "f", None, None, DELETED),
                ("deleted and active", "g", None, None, DELETED),
                ("unknown", "h", None, 2, AGREED),
                ("key changed", "i", 1, 2, AGREED),
            ]
        )
        staging.add_cmms(
            [
                ("cmms ahead", 9),
                ("dynamics ahead", 1),
                ("gone", 1),
                ("under way", 1),
                ("unknown", 1),
                ("key changed", 1),
            ]
        )
        staging.add_cmms([("new in the CMMS", 1), ("twice", 1), ("twice", 1), ("refused", None)])
        staging.add_dynamics(
            [
                ("a", "cmms ahead", 2, False),
                ("b", "dynamics ahead", 9, False),
                ("d", "not in the CMMS", 2, False),
                ("e", "under way", 2, False),
                ("f", "deleted", 3, True),
                ("g", "deleted and active", 3, False),
                ("h", "unknown", 2, False),
                ("i", "another key", 2, False),
                ("z", "new in Dynamics", 2, False),
                ("y", "half \ud800 a pair", 2, False),
            ]
        )
        # A row whose key was changed is looked at under the key that it is bound to.
        assert candidates(staging) == {
            "cmms ahead", "dynamics ahead", "gone", "not in the CMMS", "under way", "deleted and active", "unknown",
            "key changed", "new in the CMMS", "twice", "refused", "new in Dynamics", "",
        }  # fmt: skip
        assert staging.doubled() == {"twice": 2}


def test_a_full_disk_is_an_outage_that_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.flows.reconcile.staging.CACHE_KIB", 16)

    def fill() -> None:
        with Staging() as staging:
            staging._db.execute("PRAGMA max_page_count = 20")
            agree(staging, 5000)

    with pytest.raises(Unavailable, match=r"full.*TMPDIR"):
        fill()
