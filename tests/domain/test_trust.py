"""What is believed, and what a restored side or ledger means: docs/architecture.md, "Trust"."""

from copy import replace
from datetime import datetime, timedelta

import pytest

from shared.domain.base import Base
from shared.domain.decide import Context, Plan, Snapshot, decide
from shared.domain.decide.situation import PATIENCE
from shared.domain.link import Link, ParkedField, Restored
from shared.domain.model import CmmsRecord, DynamicsRecord, Side, Version
from tests.domain.decisions import (
    DELETED,
    EARLIER,
    INACTIVE,
    KNOWN,
    NOW,
    RECORD,
    ROW,
    SEEN,
    TOMBSTONE,
    base,
    context,
    snap,
    told,
)


def told_of(restored: Restored, link: Link = KNOWN) -> Link:
    return link.model_copy(update={"restored": restored})


COUNTED = KNOWN.model_copy(
    update={"seen": SEEN.model_copy(update={"row_modified": EARLIER, "cmms_revision": 7, "currency": "dollars"})}
)


def held(side: Side, link: Link = COUNTED) -> Link:
    """A link whose record is parked because a side went back."""
    return link.model_copy(update={"parked": {"*": ParkedField(side=side, digest="d", reason="went_back")}})


NAME_PARKED = COUNTED.model_copy(
    update={"parked": {"nombre": ParkedField(side="cmms", digest="d", reason="mapping_error")}}
)
EDITED = {"nombre": "P2"}
LATER = NOW + timedelta(hours=1)
CONDITIONS = [
    (
        "a row of the version seen, changed at another moment",
        snap(COUNTED, RECORD, replace(ROW, modified=NOW, values=EDITED)),
        context(attempts=PATIENCE),
        "park *: went_back",
    ),
    (
        "a row of the version and the moment seen",
        snap(COUNTED, RECORD, replace(ROW, modified=EARLIER)),
        context(attempts=PATIENCE),
        "nothing",
    ),
    (
        "a record with a newer version and fewer changes",
        snap(COUNTED, replace(RECORD, version=Version(LATER), revision=6, values=EDITED), ROW),
        context(attempts=PATIENCE),
        "park *: went_back",
    ),
    (
        "a record with a newer version and as many changes",
        snap(COUNTED, replace(RECORD, version=Version(LATER), revision=7, values=EDITED), ROW),
        context(attempts=PATIENCE),
        "park *: went_back",
    ),
    (
        "a record with a newer version and more changes",
        snap(COUNTED, replace(RECORD, version=Version(LATER), revision=8, values=EDITED), ROW),
        context(attempts=PATIENCE),
        "update Dynamics: nombre=P2",
    ),
    (
        "a row that went back, newer by an edit since",
        snap(held("dynamics"), RECORD, replace(ROW, version=6, values=EDITED)),
        context(attempts=PATIENCE),
        "park *: went_back",
    ),
    (
        "a record that went back, newer by an edit since",
        snap(held("cmms"), replace(RECORD, version=Version(LATER), revision=8, values=EDITED), ROW),
        context(attempts=PATIENCE),
        "park *: went_back",
    ),
    (
        "a row that only lagged, and shows what was seen",
        snap(held("dynamics"), RECORD, replace(ROW, modified=EARLIER)),
        context(attempts=PATIENCE),
        "nothing",
    ),
    (
        "a row that went back, once an operator said so",
        snap(told_of("dynamics", held("dynamics")), RECORD, replace(ROW, version=6, values=EDITED)),
        context(),
        "update Dynamics: nombre=Pump, record restored",
    ),
    (
        "a column that our user may not read",
        snap(COUNTED, RECORD, replace(ROW, values={})),
        context(),
        "nothing",
    ),
]

EDITED_ROW = replace(ROW, version=9, modified=NOW, values=EDITED)
EDITED_RECORD = replace(RECORD, version=Version(LATER), revision=8, values=EDITED)
SEEN_AFTER = KNOWN.model_copy(update={"seen": SEEN.model_copy(update={"row_version": 6, "row_modified": NOW})})


BORN = COUNTED.model_copy(
    update={"bases": {**COUNTED.bases, "nombre": COUNTED.bases["nombre"].model_copy(update={"cmms": None})}}
)


def since_restore(side: Side, link: Link, cmms: CmmsRecord, row: DynamicsRecord, at: datetime) -> Snapshot:
    """A snapshot of a side of which everything is proven to be taken back that was seen until `at`."""
    return replace(snap(link, cmms, row), restored={side: at})


TRUST = [
    ("a row older than seen", snap(KNOWN, RECORD, replace(ROW, version=4)), context(), "wait: not_yet_visible"),
    (
        "a row older than seen, for long",
        snap(KNOWN, RECORD, replace(ROW, version=4)),
        context(attempts=PATIENCE),
        "park *: went_back",
    ),
    (
        "a row edited after what a restore took back",
        since_restore("dynamics", COUNTED, RECORD, EDITED_ROW, EARLIER),
        context(attempts=PATIENCE),
        "park *: went_back",
    ),
    (
        "the same, at first",
        since_restore("dynamics", COUNTED, RECORD, EDITED_ROW, EARLIER),
        context(),
        "wait: not_yet_visible",
    ),
    (
        "a row edited before what a restore took back",
        since_restore("dynamics", COUNTED, RECORD, EDITED_ROW, NOW),
        context(),
        "update the CMMS: nombre=P2",
    ),
    (
        "a row edited after it was seen after a restore",
        since_restore("dynamics", SEEN_AFTER, RECORD, replace(EDITED_ROW, modified=LATER), EARLIER),
        context(),
        "update the CMMS: nombre=P2",
    ),
    (
        "a record edited after what a restore took back",
        since_restore("cmms", COUNTED, EDITED_RECORD, ROW, NOW),
        context(attempts=PATIENCE),
        "park *: went_back",
    ),
    (
        "a record edited before what a restore took back",
        since_restore("cmms", COUNTED, EDITED_RECORD, ROW, LATER),
        context(),
        "update Dynamics: nombre=P2",
    ),
    (
        "a record of a restored CMMS with other values than agreed, and no newer change",
        since_restore("cmms", COUNTED, replace(RECORD, revision=7, values=EDITED), ROW, NOW),
        context(attempts=PATIENCE),
        "park *: went_back",
    ),
    (
        "the same of a field that was parked when it was seen",
        since_restore("cmms", NAME_PARKED, replace(RECORD, revision=7, values=EDITED), ROW, NOW),
        context(),
        "update Dynamics: nombre=P2",
    ),
    (
        "the same of a value that the CMMS had never said when both agreed",
        since_restore("cmms", BORN, replace(RECORD, revision=7, values={"nombre": "Pump"}), ROW, NOW),
        context(attempts=PATIENCE),
        "nothing",
    ),
    (
        "a record older than seen",
        snap(KNOWN, replace(RECORD, version=Version(EARLIER)), ROW),
        context(),
        "wait: not_yet_visible",
    ),
    (
        "a record older than seen, for long",
        snap(KNOWN, replace(RECORD, version=Version(EARLIER)), ROW),
        context(attempts=PATIENCE),
        "park *: went_back",
    ),
    (
        "a record that was deleted, in its state of before",
        snap(DELETED, replace(RECORD, version=Version(EARLIER)), INACTIVE),
        context(attempts=PATIENCE),
        "park *: went_back",
    ),
    (
        "a row that is gone, and is to be taken for new as Dynamics counts",
        snap(KNOWN, RECORD),
        context(recreate=True, prefer="dynamics", attempts=PATIENCE),
        "park *: gone_from_dynamics",
    ),
    ("a row that was made again", snap(KNOWN, RECORD, replace(ROW, created=NOW)), context(), "park *: row_replaced"),
    (
        "a row that was made again, taken for new",
        snap(KNOWN, RECORD, replace(ROW, created=NOW, values={"nombre": "P2"})),
        context(recreate=True),
        "update Dynamics: nombre=Pump, record first_contact",
    ),
    (
        "no stamp, where the link has seen one",
        snap(
            KNOWN.model_copy(update={"seen": SEEN.model_copy(update={"stamp": "d1"})}),
            RECORD,
            replace(ROW, operations=(), values={"nombre": "P2"}),
        ),
        context(),
        "update Dynamics: nombre=Pump, record first_contact",
    ),
    (
        "a stamp that the ledger does not know",
        snap(KNOWN, RECORD, replace(ROW, operations=("d9",), values={"nombre": "P2"})),
        context(),
        "update Dynamics: nombre=Pump, record first_contact",
    ),
    (
        "an operation that the ledger does not know",
        snap(KNOWN, replace(RECORD, operations=("c1", "c9"), values={"nombre": "P2"}), ROW),
        context(),
        "update Dynamics: nombre=P2, record first_contact",
    ),
    (
        "another rule: both have a value",
        snap(
            KNOWN.model_copy(
                update={"bases": {**KNOWN.bases, "nombre": Base(cmms="Pump", dynamics="Pump", rule="another")}}
            ),
            RECORD,
            replace(ROW, values={"nombre": "P2"}),
        ),
        context(),
        "update Dynamics: nombre=Pump, record first_contact",
    ),
    (
        "another rule: the new column is empty",
        snap(
            KNOWN.model_copy(
                update={"bases": {**KNOWN.bases, "nombre": Base(cmms="Pump", dynamics="Pump", rule="another")}}
            ),
            RECORD,
            replace(ROW, values={"nombre": None}),
        ),
        context(),
        "update Dynamics: nombre=Pump",
    ),
]

OLDER_ROW = replace(ROW, version=4, values={"nombre": "Old"})
ROUNDED = KNOWN.model_copy(
    update={"bases": {**KNOWN.bases, "nombre": base("Pump").model_copy(update={"dynamics": "Pum"})}}
)
BORN_WITH_D0 = KNOWN.model_copy(update={"seen": SEEN.model_copy(update={"first_stamp": "d0"})})
OLDER_RECORD = replace(RECORD, version=Version(EARLIER), values={"nombre": "Old"}, operations=("c0",))


RESTORED = [
    (
        "Dynamics, and its row is older",
        snap(told_of("dynamics"), RECORD, OLDER_ROW),
        context(),
        "update Dynamics: nombre=Pump, record restored",
    ),
    ("Dynamics, and the row is gone", snap(told_of("dynamics"), RECORD), context(), "create in Dynamics"),
    (
        "Dynamics, and the record was deleted since",
        snap(told_of("dynamics", DELETED), TOMBSTONE, OLDER_ROW),
        context(),
        "update Dynamics: state 1",
    ),
    (
        "Dynamics, and the CMMS's record is older too",
        snap(told_of("dynamics"), OLDER_RECORD, OLDER_ROW),
        context(attempts=PATIENCE),
        "park *: went_back",
    ),
    (
        "the CMMS, and its record is older",
        snap(told_of("cmms"), OLDER_RECORD, ROW),
        context(),
        "update the CMMS: nombre=Pump, record restored",
    ),
    (
        "the CMMS, and its record has an older key",
        snap(told_of("cmms"), replace(OLDER_RECORD, key="Old", values=RECORD.values), ROW),
        context(),
        "update Dynamics: codigo_interno=Old, record first_contact",
    ),
    (
        "the CMMS, and the record's deletion is undone",
        snap(told_of("cmms", DELETED), replace(RECORD, version=Version(EARLIER)), INACTIVE),
        context(attempts=PATIENCE),
        "park *: went_back",
    ),
    (
        "the ledger, and both sides differ",
        snap(told_of("ledger"), RECORD, OLDER_ROW),
        context(),
        "update Dynamics: nombre=Pump, record first_contact",
    ),
    (
        "the ledger, and both sides hold what they agreed on, as each of them holds it",
        snap(told_of("ledger", ROUNDED), RECORD, replace(OLDER_ROW, values={"nombre": "Pum"})),
        context(),
        "nothing",
    ),
    (
        "nothing, and a side shows a write that the ledger does not know, and what both agreed on",
        snap(ROUNDED, RECORD, replace(EDITED_ROW, values={"nombre": "Pum"}, operations=("d9",))),
        context(),
        "nothing",
    ),
    (
        "the ledger, and a lagging read shows the row's first state",
        snap(told_of("ledger", BORN_WITH_D0), RECORD, replace(OLDER_ROW, operations=("d0",))),
        context(),
        "update Dynamics: nombre=Pump, record first_contact",
    ),
    (
        "the ledger, and the row is gone",
        snap(told_of("ledger"), RECORD),
        context(attempts=PATIENCE),
        "park *: gone_from_dynamics",
    ),
]

ROWS = [
    pytest.param(*row[1:], id=f"{table}: {row[0]}")
    for table, rows in (
        ("trust", TRUST),
        ("conditions", CONDITIONS),
        ("restored", RESTORED),
    )
    for row in rows
]


@pytest.mark.parametrize(("snapshot", "said", "expected"), ROWS)
def test_what_is_believed(snapshot: Snapshot, said: Context, expected: str) -> None:
    assert told(decide(snapshot, said)) == expected


@pytest.mark.parametrize(("word", "why"), [("dynamics", "restored"), ("ledger", "first_contact")])
def test_a_restored_row_is_made_active_again_also_when_the_first_write_of_it_was_refused(word: str, why: str) -> None:
    link = KNOWN.model_copy(update={"restored": word, "seen": SEEN.model_copy(update={"row_state": 0})})
    as_in_the_backup = replace(OLDER_ROW, state=1)
    first = decide(snap(link, RECORD, as_in_the_backup), context())
    assert isinstance(first, Plan)
    assert told(first) == f"update Dynamics: nombre=Pump state 0, record {why}"

    second = decide(snap(first.link, RECORD, as_in_the_backup), context())

    assert told(second) == told(first)


def test_figures_that_wait_for_their_currency_stay_agreed_where_both_sides_of_a_restore_hold_the_same() -> None:
    figure = base("5", "valor_libros")
    link = told_of("dynamics", COUNTED).model_copy(update={"bases": {**COUNTED.bases, "valor_libros": figure}})
    record = replace(RECORD, values={"nombre": "Pump", "valor_libros": "5"})
    row = replace(ROW, modified=EARLIER, currency="euros", values=record.values)
    plan = decide(snap(link, record, row), context())
    assert told(plan) == "park valor_libros: currency_changed"
    assert isinstance(plan, Plan)
    assert plan.link.bases["valor_libros"] == figure
