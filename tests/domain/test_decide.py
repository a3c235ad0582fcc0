"""The decision about one record: docs/architecture.md, "The decision"."""

from copy import replace
from datetime import timedelta

import pytest

from shared.domain.decide import Context, Plan, Snapshot, decide
from shared.domain.decide.situation import PATIENCE
from shared.domain.model import Version
from tests.domain.decisions import (
    CREATING,
    DELETED,
    INACTIVE,
    KNOWN,
    LIVE,
    NEW,
    NOT_IN_CMMS,
    NOT_IN_DYNAMICS,
    NOW,
    PERSONS,
    RECORD,
    REPORT_ONLY,
    ROW,
    ROW_BORN,
    SEEN,
    THEIRS,
    TOMBSTONE,
    context,
    snap,
    told,
)

DECISION = [
    ("both agree", snap(KNOWN, RECORD, ROW), context(), "nothing"),
    (
        "an edit in the CMMS",
        snap(KNOWN, replace(RECORD, values={"nombre": "P2"}), ROW),
        context(),
        "update Dynamics: nombre=P2",
    ),
    (
        "an edit in Dynamics",
        snap(KNOWN, RECORD, replace(ROW, values={"nombre": "P2"})),
        context(),
        "update the CMMS: nombre=P2",
    ),
    (
        "a rename in the CMMS",
        snap(KNOWN, replace(RECORD, key="B"), ROW),
        context(),
        "update Dynamics: codigo_interno=B",
    ),
    (
        "a key edited in Dynamics",
        snap(KNOWN, RECORD, replace(ROW, key="Z")),
        context(),
        "update Dynamics: codigo_interno=A, record one_way",
    ),
    (
        "a live intent of another worker",
        snap(KNOWN.model_copy(update={"intents": (LIVE,)}), RECORD, ROW),
        context(),
        "wait: intent_held",
    ),
    ("a record without a row", snap(NEW, PERSONS), context(), "create in Dynamics"),
    ("a record without a row, not to be created", snap(NEW, PERSONS), context(NOT_IN_DYNAMICS), "nothing"),
    ("a row without a record", snap(ROW_BORN, None, THEIRS), context(), "create in the CMMS"),
    ("a row without a record, not to be created", snap(ROW_BORN, None, THEIRS), context(NOT_IN_CMMS), "nothing"),
    ("an inactive row without a record", snap(ROW_BORN, None, replace(THEIRS, state=1)), context(), "nothing"),
    ("a row without a record, one-way", snap(ROW_BORN, None, THEIRS), context(one_way=True), "nothing"),
    (
        "a row that shows a write of ours, edited by a person since",
        snap(ROW_BORN, None, replace(ROW, by_us=False)),
        context(attempts=PATIENCE),
        "park *: row_replaced",
    ),
    ("a row that a write of ours made, at first", snap(ROW_BORN, None, ROW), context(), "wait: not_yet_visible"),
    (
        "a row that a write of ours made, for long",
        snap(ROW_BORN, None, ROW),
        context(attempts=PATIENCE),
        "park *: row_replaced",
    ),
    (
        "a row whose key a record with another row has",
        snap(ROW_BORN, None, THEIRS, rival=KNOWN.model_copy(update={"row_id": "s"})),
        context(),
        "park *: key_not_usable",
    ),
    (
        "a row that got a link with its record since the ledger was read",
        snap(ROW_BORN, None, THEIRS, rival=KNOWN),
        context(),
        "wait: conflict",
    ),
    ("a deleted record", snap(KNOWN, TOMBSTONE, ROW), context(), "update Dynamics: state 1"),
    ("a deleted record, only reported", snap(KNOWN, TOMBSTONE, ROW), context(REPORT_ONLY), "nothing"),
    ("a deleted record, its row inactive", snap(DELETED, TOMBSTONE, INACTIVE), context(), "nothing"),
    (
        "a deletion announced, without a tombstone",
        snap(KNOWN, None, ROW),
        context(said_deleted=True),
        "update Dynamics: state 1",
    ),
    ("a deleted record that came back", snap(DELETED, RECORD, INACTIVE), context(), "update Dynamics: state 0"),
    ("a row that is gone, at first", snap(KNOWN, RECORD), context(), "wait: not_yet_visible"),
    ("a row that is gone, for long", snap(KNOWN, RECORD), context(attempts=PATIENCE), "park *: gone_from_dynamics"),
    (
        "a row whose deletion was announced",
        snap(KNOWN, RECORD),
        context(said_row_gone=True),
        "park *: gone_from_dynamics",
    ),
    ("a row that is gone, to be made again", snap(KNOWN, RECORD), context(recreate=True), "create in Dynamics"),
    (
        "a row whose create is in doubt",
        snap(KNOWN.model_copy(update={"intents": (CREATING,)}), RECORD),
        context(),
        "create in Dynamics",
    ),
    ("a record that the CMMS leaves out, at first", snap(KNOWN, None, ROW), context(), "wait: not_yet_visible"),
    (
        "a record that the CMMS leaves out, for long",
        snap(KNOWN, None, ROW),
        context(attempts=PATIENCE),
        "park *: gone_from_cmms",
    ),
]

ROWS = [pytest.param(*row[1:], id=row[0]) for row in DECISION]


@pytest.mark.parametrize(("snapshot", "said", "expected"), ROWS)
def test_decision(snapshot: Snapshot, said: Context, expected: str) -> None:
    assert told(decide(snapshot, said)) == expected


def test_a_create_that_is_sent_again_says_what_was_seen_when_it_was_first_sent() -> None:
    edited = replace(RECORD, version=Version(NOW + timedelta(hours=1)), values={"nombre": "P2"})
    again = decide(snap(KNOWN.model_copy(update={"intents": (CREATING,), "bases": {}}), edited), context())
    assert isinstance(again, Plan)
    assert (again.link.seen, [write.values["nombre"] for write in again.writes]) == (SEEN, ["Pipe"])
