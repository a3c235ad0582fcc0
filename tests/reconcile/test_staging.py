"""The temporary file of a sweep: what is joined, whatever the rows are, and what a full disk means."""

from collections.abc import Iterable
from random import Random

import pytest

from shared.domain.link import LinkHash
from shared.errors import Unavailable
from shared.flows.reconcile.staging import Staging


def candidates(staging: Staging) -> list[str]:
    staging.join()
    return sorted(f"{kind} {value}" for chunk in staging.candidates(7) for kind, value in chunk)


def link(name: str, cmms: str = "h", dynamics: str = "g", *, deleted: bool = False) -> LinkHash:
    return LinkHash(f"c-{name}", f"r-{name}", name, cmms, dynamics, deleted)


def agree(staging: Staging, count: int, page: int = 100) -> None:
    """Stage records on which all three agree, in an order of its own on each side."""
    numbers = list(range(count))
    for source in ("ledger", "dynamics", "cmms"):
        Random(source).shuffle(numbers)  # noqa: S311  # repeatable, not secret
        for start in range(0, count, page):
            some = numbers[start : start + page]
            if source == "ledger":
                staging.add_ledger(
                    [LinkHash(f"c{n}", f"r{n}", f"K-{n}", f"h{n}", f"g{n}", deleted=False) for n in some]
                )
            elif source == "dynamics":
                staging.add_dynamics([(f"r{n}", f"K-{n}", f"g{n}", False) for n in some])
            else:
                staging.add_cmms([(f"c{n}", f"K-{n}", f"h{n}") for n in some])


def records(*rows: tuple[str, str]) -> Iterable[tuple[str, str, str]]:
    return [(f"c-{name}", name, row_hash) for name, row_hash in rows]


def rows(*rows: tuple[str, str]) -> Iterable[tuple[str, str, str, bool]]:
    return [(f"r-{name}", name, row_hash, False) for name, row_hash in rows]


def test_records_that_agree_are_no_candidates() -> None:
    with Staging() as staging:
        agree(staging, 1000)
        assert candidates(staging) == []
        assert (staging.ledger_rows, staging.dynamics_rows, staging.cmms_rows) == (1000, 1000, 1000)


def test_every_kind_of_difference_is_a_candidate_once_and_nothing_else() -> None:
    with Staging() as staging:
        agree(staging, 1000)
        names = ("cmms ahead", "dynamics ahead", "gone", "not in the CMMS", "half known", "both")
        staging.add_ledger([link(name) for name in names])
        staging.add_ledger([LinkHash("c-only", None, "only", "h", "", deleted=False)])
        staging.add_ledger([LinkHash(None, "r-only", "only", "", "g", deleted=False)])
        staging.add_ledger([LinkHash(None, None, "by its key alone", "", "", deleted=False)])
        staging.add_cmms(
            [*records(("cmms ahead", "x"), ("dynamics ahead", "h"), ("gone", "h"), ("half known", ""), ("both", "x"))]
        )
        staging.add_cmms([("c-only", "only c", "h"), ("c-new", "new in the CMMS", "h"), ("c-bad", "refused", "?")])
        staging.add_dynamics(
            [*rows(("cmms ahead", "g"), ("dynamics ahead", "x"), ("not in the CMMS", "g"), ("half known", "g"))]
        )
        staging.add_dynamics([*rows(("both", "x"), ("new in Dynamics", "g"))])
        staging.add_dynamics([("r-half", "half \ud800 a pair", "g", False)])
        staging.add_dynamics([("r-only", "only r", "g", False)])
        expected = [f"cmms c-{name}" for name in (*names, "only", "new", "bad")]
        expected += ["row r-only", "row r-new in Dynamics", "row r-half", "key by its key alone"]
        assert candidates(staging) == sorted(expected)


@pytest.mark.parametrize(
    ("shows_record", "row", "looked_at"),
    [
        (False, None, False),
        (False, "inactive", False),
        (False, "active", True),
        (True, "inactive", True),
        (True, None, True),
    ],
)
def test_a_deleted_link_agrees_with_no_record_and_with_an_inactive_row_or_none(
    *, shows_record: bool, row: str | None, looked_at: bool
) -> None:
    with Staging() as staging:
        agree(staging, 100)
        staging.add_ledger([link("deleted", deleted=True)])
        if shows_record:
            staging.add_cmms([*records(("deleted", "h"))])
        if row is not None:
            staging.add_dynamics([("r-deleted", "deleted", "g", row == "inactive")])
        assert candidates(staging) == ["cmms c-deleted"] * looked_at


def test_sides_that_changed_their_partners_are_told_by_their_ids() -> None:
    with Staging() as staging:
        agree(staging, 100)
        staging.add_ledger([link("a", "ha", "ga"), link("b", "hb", "gb")])
        staging.add_cmms([*records(("a", "hb"), ("b", "ha"))])
        staging.add_dynamics([*rows(("a", "ga"), ("b", "gb"))])
        assert candidates(staging) == ["cmms c-a", "cmms c-b"]


def test_an_unlinked_pair_of_one_key_is_looked_at_once_as_the_record() -> None:
    with Staging() as staging:
        agree(staging, 100)
        staging.add_cmms([*records(("pair", "h"), ("lone", "h"))])
        staging.add_dynamics([*rows(("pair", "g"))])
        assert candidates(staging) == ["cmms c-lone", "cmms c-pair"]


def test_an_unlinked_row_with_a_linked_records_key_is_looked_at_by_itself() -> None:
    with Staging() as staging:
        agree(staging, 100)
        staging.add_dynamics([("r-second", "K-7", "g7", False)])
        assert candidates(staging) == ["row r-second"]


def test_keys_that_the_cmms_has_more_than_once_are_counted() -> None:
    with Staging() as staging:
        agree(staging, 100)
        staging.add_cmms([("c-one", "twice", "h"), ("c-two", "twice", "h"), ("c-three", "K-7", "h")])
        assert candidates(staging) == ["cmms c-one", "cmms c-three", "cmms c-two"]
        assert staging.doubled() == {"twice": 2, "K-7": 2}


def test_rows_that_come_along_by_chance_are_no_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.flows.reconcile.staging._ROOM", 1)
    with Staging() as staging:
        agree(staging, 1000)
        staging.add_ledger([link("a", "h", "g")])
        staging.add_cmms([*records(("a", "x"), ("new", "h"))])
        staging.add_dynamics([*rows(("a", "g"))])
        assert candidates(staging) == ["cmms c-a", "cmms c-new"]
        assert staging.doubled() == {}


def test_a_full_disk_is_an_outage_that_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.flows.scratch.CACHE_KIB", 16)

    def fill() -> None:
        with Staging() as staging:
            staging._db.execute("PRAGMA max_page_count = 20")
            agree(staging, 5000)

    with pytest.raises(Unavailable, match=r"full.*TMPDIR"):
        fill()
