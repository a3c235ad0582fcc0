"""A record that meets a row by its key: docs/architecture.md, "First contact" and "Key conflict"."""

from copy import replace

import pytest

from shared.domain.blocked import RECORD as WHOLE
from shared.domain.blocked import Blocked
from shared.domain.decide import Candidate, Context, Snapshot, decide, foresee
from shared.domain.decide.situation import PATIENCE, WAITING
from shared.domain.link import Stored
from shared.errors import RejectedByTarget
from tests.domain.decisions import (
    DELETED,
    EARLIER,
    INACTIVE,
    KNOWN,
    LIVE,
    NEW,
    NOW,
    PERSONS,
    RECORD,
    ROW,
    TOMBSTONE,
    context,
    snap,
    told,
)

FREE = Candidate(ROW)
LIVING = Candidate(ROW, Stored(link=KNOWN.model_copy(update={"cmms_id": "2"})), replace(RECORD, id="2"))
RENAMED = replace(LIVING, record=replace(RECORD, id="2", key="B"))
OVER = LIVE.model_copy(update={"expires_at": EARLIER})
IN_DOUBT = Stored(link=KNOWN.model_copy(update={"cmms_id": "2", "intents": (OVER,)}))
RESTORED = Stored(link=KNOWN.model_copy(update={"cmms_id": "2", "restored": "dynamics"}))
GONE = Candidate(INACTIVE, Stored(link=DELETED.model_copy(update={"cmms_id": "2"})), replace(TOMBSTONE, id="2"))
TAKING = NEW.model_copy(update={"takes_over": "r"})
LATE = replace(RECORD, by_us=True, operations=("r",))
RENAMED_ROW = Candidate(replace(ROW, key="B"))
OWN_BY_NOW = Candidate(ROW, Stored(link=KNOWN), RECORD)
REFUSED = Blocked(WHOLE, "cmms", "", RejectedByTarget("no"))
OTHER_CASE = Candidate(replace(ROW, key="a"))

FIRST_CONTACT = [
    ("no row has the key", snap(NEW, PERSONS), context(), "create in Dynamics"),
    (
        "no row has the key, and Dynamics takes it for taken",
        snap(NEW, PERSONS),
        context(key_taken=True),
        "wait: conflict",
    ),
    ("no row has the key, and the record shows a write of ours", snap(NEW, RECORD), context(), "wait: not_yet_visible"),
    ("the same, still", snap(NEW, RECORD), context(attempts=PATIENCE), "park *: row_replaced"),
    (
        "the same, taken for new by an operator",
        snap(NEW, RECORD),
        context(attempts=PATIENCE, recreate=True),
        "create in Dynamics",
    ),
    (
        "the same, for a record that was deleted once, and gave its row up",
        snap(NEW.model_copy(update={"deleted_at": EARLIER}), RECORD),
        context(),
        "create in Dynamics",
    ),
    ("a row without a link, alike", snap(NEW, RECORD, None, FREE), context(), "nothing"),
    (
        "a row without a link, different",
        snap(NEW, RECORD, None, Candidate(replace(ROW, values={"nombre": "P2"}))),
        context(),
        "update Dynamics: nombre=Pump, record first_contact",
    ),
    (
        "several rows",
        snap(NEW, RECORD, None, FREE, Candidate(replace(ROW, id="r2"))),
        context(),
        "park *: key_not_usable",
    ),
    ("a row whose key differs by case", snap(NEW, PERSONS, None, OTHER_CASE), context(), "park *: key_not_usable"),
    (
        "the row that the record was made from, without a link, under another key",
        snap(NEW, LATE, None, RENAMED_ROW),
        context(),
        "update Dynamics: codigo_interno=A, record first_contact",
    ),
    (
        "the same, beside a row with the key",
        snap(NEW, LATE, None, Candidate(replace(ROW, id="r2")), RENAMED_ROW),
        context(),
        "update Dynamics: codigo_interno=A, record first_contact",
    ),
    (
        "the row that the record was made from, which is another record's",
        snap(NEW, LATE, None, LIVING),
        context(),
        "park *: row_replaced",
    ),
    (
        "the row that the record was made from, and was linked with while it was looked at",
        snap(NEW, LATE, None, OWN_BY_NOW),
        context(),
        "wait: conflict",
    ),
    (
        "the same, renamed since",
        snap(NEW, replace(LATE, key="B"), None, OWN_BY_NOW),
        context(),
        "wait: conflict",
    ),
    (
        "the row of a deleted record",
        snap(NEW, RECORD, None, GONE),
        context(),
        "nothing",  # but the link announces it
    ),
    (
        "the row of a deleted record, for a record that a late create of ours made",
        snap(NEW, LATE, None, GONE),
        context(),
        "park *: row_replaced",
    ),
    (
        "the same, edited by a person since",
        snap(NEW, replace(LATE, by_us=False, revision=2), None, GONE),
        context(),
        "park *: row_replaced",
    ),
    (
        "the row of a deleted record, for a person's record that a restored ledger forgot",
        snap(NEW, RECORD, None, GONE),
        context(),
        "nothing",  # but the link announces it
    ),
    (
        "the same, taken for new by an operator",
        snap(TAKING, LATE, None, GONE),
        context(recreate=True),
        "update Dynamics: state 0",
    ),
    (
        "a row without a link, for a record that the ledger forgot",
        snap(NEW, LATE, None, FREE),
        context(),
        "nothing",
    ),
    (
        "the row of a deleted record, announced as taken over",
        snap(TAKING, RECORD, None, replace(GONE, row=replace(INACTIVE, values={"nombre": "Old"}))),
        context(),
        "update Dynamics: nombre=Pump state 0, record taken_over",
    ),
    (
        "the row of a deleted record, which let go of it, edited since",
        snap(TAKING, RECORD, None, Candidate(replace(INACTIVE, by_us=False, values={"nombre": "Old"}))),
        context(),
        "update Dynamics: nombre=Pump state 0, record taken_over",
    ),
    (
        "the row of a deleted record, which let go of it for a record that left the key",
        snap(NEW, RECORD, None, Candidate(replace(INACTIVE, values={"nombre": "Old"}))),
        context(),
        "update Dynamics: nombre=Pump state 0, record taken_over",
    ),
    (
        "the same, where an operator chose Dynamics' values",
        snap(NEW, RECORD, None, Candidate(replace(INACTIVE, values={"nombre": "Old"}))),
        context(prefer="dynamics"),
        "update the CMMS: nombre=Old, record first_contact",
    ),
    (
        "a row that a person deactivated",
        snap(NEW, RECORD, None, Candidate(replace(INACTIVE, by_us=False, values={"nombre": "Old"}))),
        context(),
        "update Dynamics: nombre=Pump, record first_contact",
    ),
    (
        "another row, of a record that was deleted, as the own one is gone",
        snap(KNOWN.model_copy(update={"row_id": "old"}), RECORD, None, GONE),
        context(said_row_gone=True),
        "nothing",
    ),
    ("the row of a living record", snap(NEW, RECORD, None, LIVING), context(), "wait: conflict"),
    (
        "another row, as the record's own is gone",
        snap(KNOWN.model_copy(update={"row_id": "old"}), RECORD, None, FREE),
        context(said_row_gone=True),
        "nothing",
    ),
]

OWN = replace(ROW, id="own", key="Z")
OF_OWN = KNOWN.model_copy(update={"row_id": "own"})
KEY_CONFLICT = [
    (
        "the holder has no link",
        snap(OF_OWN, RECORD, OWN, FREE),
        context(key_taken=True),
        "park codigo_interno: key_not_usable",
    ),
    (
        "the key differs by case",
        snap(OF_OWN, RECORD, OWN, OTHER_CASE),
        context(key_taken=True),
        "park codigo_interno: key_not_usable",
    ),
    ("the holder has the same key", snap(OF_OWN, RECORD, OWN, LIVING), context(key_taken=True), "wait: conflict"),
    (
        "the holder has the same key, for long",
        snap(OF_OWN, RECORD, OWN, LIVING),
        context(key_taken=True, attempts=WAITING),
        "park codigo_interno: key_not_usable",
    ),
    (
        "the holder has another key by now",
        snap(OF_OWN, RECORD, OWN, RENAMED),
        context(key_taken=True),
        "wait: conflict",
    ),
    (
        "the holder has another key, after two attempts",
        snap(OF_OWN, RECORD, OWN, RENAMED),
        context(key_taken=True, attempts=2),
        "update Dynamics: codigo_interno=r, record key_released",
    ),
    (
        "the holder's row went back, after two attempts",
        snap(OF_OWN, RECORD, OWN, replace(RENAMED, row=replace(ROW, version=4))),
        context(key_taken=True, attempts=2),
        "wait: conflict",
    ),
    (
        "the holder's row shows an older write of ours, after two attempts",
        snap(OF_OWN, RECORD, OWN, replace(RENAMED, row=replace(ROW, operations=("d0",)))),
        context(key_taken=True, attempts=2),
        "wait: conflict",
    ),
    (
        "a write to the holder's row is in doubt, after two attempts",
        snap(OF_OWN, RECORD, OWN, replace(RENAMED, holder=IN_DOUBT)),
        context(key_taken=True, attempts=2),
        "wait: conflict",
    ),
    (
        "the holder's row was deleted and made again, after two attempts",
        snap(OF_OWN, RECORD, OWN, replace(RENAMED, row=replace(ROW, created=NOW))),
        context(key_taken=True, attempts=2),
        "wait: conflict",
    ),
    (
        "the holder's row waits for an operator's word to be carried out, after two attempts",
        snap(OF_OWN, RECORD, OWN, replace(RENAMED, holder=RESTORED)),
        context(key_taken=True, attempts=2),
        "wait: conflict",
    ),
    (
        "the holder's row was made again, and the record's own is taken for new",
        snap(OF_OWN, RECORD, OWN, replace(RENAMED, row=replace(ROW, created=NOW))),
        context(key_taken=True, attempts=2, recreate=True),
        "wait: conflict",
    ),
    (
        "Dynamics refused moments ago to take the key from the holder's row, after two attempts",
        snap(OF_OWN, RECORD, OWN, RENAMED),
        context(key_taken=True, attempts=2, refused=(REFUSED,)),
        "wait: conflict",
    ),
    (
        "Dynamics refused moments ago to take the key from the holder's row, for long",
        snap(NEW, PERSONS, None, RENAMED),
        context(attempts=WAITING, refused=(REFUSED,)),
        "park *: key_not_usable",
    ),
    (
        "the holder was deleted, after two attempts",
        snap(OF_OWN, RECORD, OWN, replace(GONE, row=ROW)),
        context(key_taken=True, attempts=2),
        "update Dynamics: codigo_interno=r, record key_released",
    ),
    (
        "nobody holds it any more",
        snap(OF_OWN, RECORD, OWN),
        context(key_taken=True),
        "update Dynamics: codigo_interno=A, record one_way",
    ),
]

ROWS = [
    pytest.param(*row[1:], id=f"{table}: {row[0]}")
    for table, rows in (
        ("first contact", FIRST_CONTACT),
        ("key conflict", KEY_CONFLICT),
    )
    for row in rows
]


@pytest.mark.parametrize(("snapshot", "said", "expected"), ROWS)
def test_meeting_by_key(snapshot: Snapshot, said: Context, expected: str) -> None:
    assert told(decide(snapshot, said)) == expected


def test_a_look_sees_past_the_announcement_of_a_take_over() -> None:
    snapshot = snap(NEW, RECORD, None, replace(GONE, row=replace(INACTIVE, values={"nombre": "Old"})))
    assert told(foresee(snapshot, context())) == "update Dynamics: nombre=Pump state 0, record taken_over"
