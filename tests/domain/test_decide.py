"""The decision about one record as tables: docs/architecture.md, "The decision", "First contact", "Key conflict"."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.decide import Candidate, Context, Decision, Snapshot, Wait, decide
from shared.domain.decide.situation import PATIENCE, WAITING
from shared.domain.link import Base, Intent, Link, ParkedField, Restored, Seen, Stored, Write
from shared.domain.model import NO_RECORD, NO_ROW, CmmsRecord, DynamicsRecord, Side, Version
from shared.domain.schema.mapping import EntityMapping
from tests.fakes import document_mapping

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(days=1)
ASSET = document_mapping().entities["asset"].model_copy(update={"stamp": "stamp"})
REPORT_ONLY = ASSET.model_copy(update={"on_delete": "report"})
NOT_IN_DYNAMICS = ASSET.model_copy(update={"create_in": frozenset({"cmms"})})
NOT_IN_CMMS = ASSET.model_copy(update={"create_in": frozenset({"dynamics"})})

RECORD = CmmsRecord("A", '"5"', {"nombre": "Pump"}, id="1", version=Version(NOW), operations=("c1",))
TOMBSTONE = CmmsRecord("A", "", {}, id="1", version=Version(NOW), deleted=True)
ROW = DynamicsRecord(
    "A", 'W/"5"', {"nombre": "Pump"}, id="r", state=0, version=5, operations=("d1",), created=EARLIER, by_us=True
)
INACTIVE = replace(ROW, state=1)
THEIRS = replace(ROW, operations=(), by_us=False)
KEY = ASSET.key.name


def base(value: str, name: str = "nombre") -> Base:
    return Base(cmms=value, dynamics=value, rule=ASSET.rules[name].fingerprint)


SEEN = Seen(row_version=5, stamp="d1", row_made=EARLIER, cmms_version=NOW, operation="c1")
KNOWN = Link(cmms_id="1", row_id="r", key="A", bases={KEY: base("A", KEY), "nombre": base("Pump")}, seen=SEEN)
NEW = Link(cmms_id="1", key="A")
ROW_BORN = Link(row_id="r", key="A")
DELETED = KNOWN.model_copy(update={"deleted_at": EARLIER})
LIVE = Intent(side="dynamics", target="r", etag='W/"5"', id="x", expires_at=NOW + timedelta(seconds=60))
CREATING = Intent(side="dynamics", target="r", etag=None, id="x", expires_at=NOW - timedelta(seconds=1))


def snap(
    link: Link,
    cmms: CmmsRecord | None = None,
    row: DynamicsRecord | None = None,
    *candidates: Candidate,
    rival: Link | None = None,
) -> Snapshot:
    return Snapshot(
        Stored(link=link), link, cmms or NO_RECORD, row or NO_ROW, candidates, Stored(link=rival) if rival else None
    )


def context(entity: EntityMapping = ASSET, **said: object) -> Context:
    return Context(entity, NOW, **said)  # type: ignore[arg-type]


def told(decision: Decision) -> str:
    """A decision in a few words: what waits, what is parked, what is written."""
    if isinstance(decision, Wait):
        return f"wait: {decision.error.reason}"
    parts = [f"park {block.field}: {block.error.reason}" for block in decision.blocked]
    parts += [_written(write) for write in decision.writes]
    parts += [f"record {conflict.why}" for conflict in decision.link.conflicts]
    return ", ".join(parts) or "nothing"


def _written(write: Write) -> str:
    where = "Dynamics" if write.side == "dynamics" else "the CMMS"
    if write.creates:
        return f"create in {where}"
    state = "" if write.state is None else f" state {write.state[0]}"
    values = "".join(f" {name}={value}" for name, value in sorted(write.values.items()))
    return f"update {where}:{values}{state}"


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
    ("a record without a row", snap(NEW, RECORD), context(), "create in Dynamics"),
    ("a record without a row, not to be created", snap(NEW, RECORD), context(NOT_IN_DYNAMICS), "nothing"),
    ("a row without a record", snap(ROW_BORN, None, THEIRS), context(), "create in the CMMS"),
    ("a row without a record, not to be created", snap(ROW_BORN, None, THEIRS), context(NOT_IN_CMMS), "nothing"),
    ("an inactive row without a record", snap(ROW_BORN, None, replace(THEIRS, state=1)), context(), "nothing"),
    ("a row without a record, one-way", snap(ROW_BORN, None, THEIRS), context(one_way=True), "nothing"),
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


def told_of(restored: Restored, link: Link = KNOWN) -> Link:
    return link.model_copy(update={"restored": restored})


COUNTED = KNOWN.model_copy(
    update={"seen": SEEN.model_copy(update={"row_modified": EARLIER, "cmms_revision": 7, "currency": "dollars"})}
)


def held(side: Side, link: Link = COUNTED) -> Link:
    """A link whose record is parked because a side went back."""
    return link.model_copy(update={"parked": {"*": ParkedField(side=side, digest="d", reason="went_back")}})


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

TRUST = [
    ("a row older than seen", snap(KNOWN, RECORD, replace(ROW, version=4)), context(), "wait: not_yet_visible"),
    (
        "a row older than seen, for long",
        snap(KNOWN, RECORD, replace(ROW, version=4)),
        context(attempts=PATIENCE),
        "park *: went_back",
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
    ("a row that was made again", snap(KNOWN, RECORD, replace(ROW, created=NOW)), context(), "park *: row_replaced"),
    (
        "a row that was made again, taken for new",
        snap(KNOWN, RECORD, replace(ROW, created=NOW, values={"nombre": "P2"})),
        context(recreate=True),
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
        "the ledger, and the row is gone",
        snap(told_of("ledger"), RECORD),
        context(attempts=PATIENCE),
        "park *: gone_from_dynamics",
    ),
]

FREE = Candidate(ROW)
LIVING = Candidate(ROW, Stored(link=KNOWN.model_copy(update={"cmms_id": "2"})), replace(RECORD, id="2"))
RENAMED = replace(LIVING, record=replace(RECORD, id="2", key="B"))
GONE = Candidate(INACTIVE, Stored(link=DELETED.model_copy(update={"cmms_id": "2"})), replace(TOMBSTONE, id="2"))
OTHER_CASE = Candidate(replace(ROW, key="a"))

FIRST_CONTACT = [
    ("no row has the key", snap(NEW, RECORD), context(), "create in Dynamics"),
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
    ("a row whose key differs by case", snap(NEW, RECORD, None, OTHER_CASE), context(), "park *: key_not_usable"),
    (
        "the row of a deleted record",
        snap(NEW, RECORD, None, replace(GONE, row=replace(INACTIVE, values={"nombre": "Old"}))),
        context(),
        "update Dynamics: nombre=Pump state 0, record taken_over",
    ),
    (
        "the row of a deleted record, which let go of it",
        snap(NEW, RECORD, None, Candidate(replace(INACTIVE, values={"nombre": "Old"}))),
        context(),
        "update Dynamics: nombre=Pump state 0, record taken_over",
    ),
    (
        "a row that a person deactivated",
        snap(NEW, RECORD, None, Candidate(replace(INACTIVE, by_us=False, values={"nombre": "Old"}))),
        context(),
        "update Dynamics: nombre=Pump, record first_contact",
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
        ("decision", DECISION),
        ("trust", TRUST),
        ("conditions", CONDITIONS),
        ("restored", RESTORED),
        ("first contact", FIRST_CONTACT),
        ("key conflict", KEY_CONFLICT),
    )
    for row in rows
]


@pytest.mark.parametrize(("snapshot", "said", "expected"), ROWS)
def test_decision(snapshot: Snapshot, said: Context, expected: str) -> None:
    assert told(decide(snapshot, said)) == expected
