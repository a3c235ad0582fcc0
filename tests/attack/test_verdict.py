"""The attack's own account: what counts as lost, as differing and as remembered wrongly."""

from dataclasses import dataclass, field
from typing import Final

import pytest

from tests.attack.journal import Held, Journal, Said, Side
from tests.attack.verdict import CHECKS, Remembered, Scene, Shown

NOTHING: Final = Remembered()
COLUMNS: Final = {"asset": {"nombre": "msdyn_name"}, "order": {"estado": "statuscode"}}


@dataclass(frozen=True)
class Case:
    """One asset A: what was said, what is shown, what the ledger holds; `faults` are the checks that name it."""

    said: tuple[tuple[Side, Held, Held], ...] = ()
    cmms: tuple[Held, ...] = ("one",)
    rows: tuple[Held, ...] = ("one",)
    remembered: Remembered = NOTHING
    told: frozenset[str] = frozenset()
    recorded: frozenset[Held] = frozenset()
    deleted: bool = False
    row_deleted: bool = False
    closed: bool = False
    reported: bool = False
    faults: frozenset[str] = field(default=frozenset())


def scene(case: Case) -> Scene:
    journal = Journal()
    for at, (side, value, over) in enumerate(case.said):
        journal.note(Said(side, "A", "nombre" if side == "cmms" else "msdyn_name", value, over, at))
    journal.deleted = {"A"} if case.deleted else set()
    journal.rows_deleted = {"A": frozenset({"two", None})} if case.row_deleted else {}
    records = [Shown({"nombre": value}, "1") for value in case.cmms]
    rows = [Shown({"msdyn_name": value}, "r", case.closed) for value in case.rows]
    return Scene(
        journal=journal,
        columns=COLUMNS,
        cmms={"asset": {"A": records}, "order": {}},
        dynamics={"asset": {"A": rows}, "order": {}},
        ledger={"asset": {"A": case.remembered}, "order": {}},
        parked={("asset", "A"): case.told} if case.told else {},
        reported=frozenset({("asset", "A")} if case.reported else ()),
        recorded={"A": case.recorded},
    )


BOTH: Final[tuple[tuple[Side, Held, Held], ...]] = (("cmms", "one", "zero"), ("dynamics", "two", "zero"))
PARKED: Final = Remembered(parked={"nombre": "mapping_error"})
HELD: Final = Remembered(parked={"*": "went_back"})


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case((("cmms", "one", None),)), id="what was said is in force"),
        pytest.param(
            Case((("cmms", "zero", None), ("dynamics", "one", "zero"))), id="a value given over another needs no record"
        ),
        pytest.param(Case(BOTH, faults=frozenset({"erased"})), id="one of two edits is lost without a record"),
        pytest.param(Case(BOTH, remembered=Remembered(lost=frozenset({"two"}))), id="the loser is on record"),
        pytest.param(Case(BOTH, recorded=frozenset({"two"})), id="the loser was on record before the ledger went back"),
        pytest.param(Case(BOTH, remembered=PARKED, told=frozenset({"nombre"})), id="the field waits for a person"),
        pytest.param(
            Case(BOTH, remembered=PARKED, faults=frozenset({"erased", "untold"})), id="no message tells the person"
        ),
        pytest.param(
            Case(BOTH, told=frozenset({"nombre"}), faults=frozenset({"erased"})), id="a message of before parks nothing"
        ),
        pytest.param(
            Case((("cmms", "two", "zero"), ("cmms", "zero", None)), faults=frozenset({"erased"})),
            id="a value went back, and both were replaced",
        ),
        pytest.param(
            Case((("cmms", "one", None),), cmms=(None,), rows=(None,), faults=frozenset({"erased"})),
            id="a value was emptied, and nobody emptied it",
        ),
        pytest.param(
            Case((("cmms", "one", None), ("dynamics", None, "one")), cmms=(None,), rows=(None,)), id="a person emptied"
        ),
        pytest.param(
            Case((("cmms", "one", None), ("dynamics", None, "one")), faults=frozenset({"filled again"})),
            id="an emptied field holds what was in it",
        ),
        pytest.param(
            Case((("cmms", "one", None), ("cmms", None, "one")), faults=frozenset({"filled again"})),
            id="a field that the CMMS emptied holds what was in it",
        ),
        pytest.param(
            Case(
                (("dynamics", None, "one"), ("dynamics", "two", None)), remembered=Remembered(lost=frozenset({"two"}))
            ),
            id="an emptied field was given another value, which is on record",
        ),
        pytest.param(
            Case((("dynamics", None, "one"),), remembered=Remembered(kept=frozenset({("nombre", "one")}))),
            id="an emptied field was filled again, on record",
        ),
        pytest.param(
            Case((("dynamics", None, "one"),), remembered=PARKED, told=frozenset({"nombre"})),
            id="an emptied field was filled again, and waits for a person",
        ),
        pytest.param(
            Case((("dynamics", None, "one"),), rows=(None,), faults=frozenset({"disagreeing"})),
            id="an emptied field is not yet empty on the other side",
        ),
        pytest.param(
            Case((("dynamics", None, "one"),), rows=(), row_deleted=True, reported=True),
            id="an emptied field went with its row",
        ),
        pytest.param(
            Case((("dynamics", None, "one"),), row_deleted=True),
            id="an emptied field went with its row, which was made again",
        ),
        pytest.param(Case(rows=("two",), faults=frozenset({"disagreeing"})), id="the sides differ"),
        pytest.param(
            Case(rows=("two",), remembered=HELD, told=frozenset({"*"})), id="the sides differ, and the record waits"
        ),
        pytest.param(Case(rows=(), faults=frozenset({"disagreeing"})), id="a record without a row"),
        pytest.param(Case(rows=(), reported=True), id="the report tells of a record without a row"),
        pytest.param(Case(cmms=(), faults=frozenset({"disagreeing"})), id="a row without a record"),
        pytest.param(Case(rows=("one", "one"), faults=frozenset({"disagreeing"})), id="a record with two rows"),
        pytest.param(Case(cmms=(), deleted=True, closed=True), id="a deleted record's row is closed"),
        pytest.param(
            Case(cmms=(), deleted=True, faults=frozenset({"disagreeing"})), id="a deleted record's row is not closed"
        ),
        pytest.param(Case(deleted=True, faults=frozenset({"disagreeing"})), id="a deleted record lives again"),
        pytest.param(
            Case((("dynamics", "two", "one"),), rows=(), row_deleted=True, remembered=HELD, told=frozenset({"*"})),
            id="a value went with the row that a person deleted",
        ),
        pytest.param(
            Case((("dynamics", "two", "one"),), row_deleted=True),
            id="a value went with the row that a person deleted, and that was made again",
        ),
        pytest.param(
            Case((("dynamics", "four", "one"),), row_deleted=True, faults=frozenset({"erased"})),
            id="a row that was made again lacks a value that was not in the deleted one",
        ),
        pytest.param(
            Case(remembered=Remembered(bases={"nombre": ("one", "two")}), faults=frozenset({"misremembered"})),
            id="the ledger remembers what no side shows",
        ),
        pytest.param(
            Case(remembered=Remembered(under_way=True), faults=frozenset({"misremembered"})),
            id="a write is still under way at rest",
        ),
    ],
)
def test_a_check_names_what_is_wrong_and_nothing_else(case: Case) -> None:
    assert {name for name, check in CHECKS.items() if list(check(scene(case)))} == case.faults


def test_what_went_with_a_restore_is_no_longer_asked_for() -> None:
    journal = Journal()
    told: list[tuple[Side, Held, Held, float]] = [
        ("dynamics", "before", None, 1.0),
        ("dynamics", "carried over", "before", 3.0),
        ("dynamics", "never seen", "carried over", 4.0),
        ("cmms", "the CMMS's", "before", 5.0),
        ("dynamics", "passed on", "the CMMS's", 6.0),
        ("dynamics", "passed on, too", "passed on", 7.0),
        ("cmms", "given over both", "passed on, too", 8.0),
    ]
    for side, value, over, at in told:
        journal.note(Said(side, "A", "nombre" if side == "cmms" else "msdyn_name", value, over, at))
    assert journal.forget("dynamics", 2.0, {"A": {"carried over"}}) == 1
    assert [one.value for one in journal.last_words("A")] == ["carried over", "given over both"]


def test_the_records_that_a_side_edited_since_are_known() -> None:
    journal = Journal()
    edits: list[tuple[Side, str, float]] = [
        ("cmms", "A", 1.0),
        ("cmms", "B", 2.0),
        ("dynamics", "C", 3.0),
        ("cmms", "A", 3.0),
        ("cmms", "D", 1.5),
    ]
    for side, record, at in edits:
        journal.note(Said(side, record, "nombre", "one", None, at))
    assert journal.edited("cmms", 2.0) == {"A", "B"}


def test_a_renamed_record_is_the_same_record() -> None:
    journal = Journal()
    journal.renamed("K 1", "K 2")
    journal.renamed("K 2", "K 3")
    assert {journal.name(key) for key in ("K 1", "K 2", "K 3")} == {"K 1"}
