"""Rule 6 as a table: docs/architecture.md, "A write in doubt"."""

from copy import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.base import NEWS, Base
from shared.domain.decide.in_doubt import LATEST, may_still_land, resolve_in_doubt, verdict
from shared.domain.link import Link
from shared.domain.merge import Verdict, judge
from shared.domain.model import NO_RECORD, NO_ROW, CmmsRecord, DynamicsRecord, Record, Side, Value
from shared.domain.schema.mapping import EntityMapping
from shared.domain.write import Intent
from tests.fakes import document_mapping

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SOON = NOW + timedelta(seconds=1)
OVER = NOW - LATEST - timedelta(seconds=1)
ASSET = document_mapping().entities["asset"].model_copy(update={"stamp": "stamp"})
NAME = ASSET.fields["nombre"].fingerprint


def intent(*, etag: str | None = "old", expires_at: datetime = SOON, side: Side = "dynamics") -> Intent:
    return Intent(
        id="op",
        side=side,
        target="r",
        etag=etag,
        values={"nombre": "new"},
        sources={"nombre": "new"},
        before={"nombre": "old"},
        expires_at=expires_at,
    )


def seen(*, etag: str = "old", shows: bool | None = None) -> Record:
    operations = None if shows is None else ("op",) if shows else ("another",)
    return Record("A", etag, {"nombre": "old"}, id="r", operations=operations)


TABLE = [
    # id, intent, what the side shows, verdict
    ("an update that the side shows", intent(), seen(etag="new", shows=True), "landed"),
    ("an update; the etag moved, not shown", intent(), seen(etag="new", shows=False), "not_landed"),
    ("an update of which the side shows a part", intent(), replace(seen(etag="new"), operations=("op~",)), "unclear"),
    ("an update; the etag moved, nothing names writes", intent(), seen(etag="new"), "unclear"),
    ("an update; the etag is the old one", intent(), seen(shows=False), "open"),
    ("an update; the etag is the old one, too late", intent(expires_at=OVER), seen(shows=False), "not_landed"),
    ("an update of a deleted record", intent(side="cmms"), replace(NO_RECORD, exists=True, deleted=True), "not_landed"),
    ("an update of a row that is gone", intent(), NO_ROW, "not_landed"),
    ("a create that the row shows", intent(etag=None), seen(shows=True), "landed"),
    ("a create that is there under its id, not shown", intent(etag=None), seen(shows=False), "unclear"),
    ("a create that is there under its id; nothing names writes", intent(etag=None), seen(), "unclear"),
    ("a create that is not there", intent(etag=None), NO_ROW, "open"),
    ("a create that is not there, too late", intent(etag=None, expires_at=OVER), NO_ROW, "not_landed"),
    ("a create in the CMMS that is shown", intent(etag=None, side="cmms"), seen(shows=True), "landed"),
    ("a create in the CMMS; another made the record", intent(etag=None, side="cmms"), seen(shows=False), "not_landed"),
    ("a create in the CMMS; nothing names writes", intent(etag=None, side="cmms"), seen(), "not_landed"),
]


@pytest.mark.parametrize(("doubtful", "shown", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_a_write_in_doubt(doubtful: Intent, shown: Record, expected: str) -> None:
    assert verdict(doubtful, shown, NOW) == expected


def row(value: Value, *stamp: str, by_us: bool = False) -> DynamicsRecord:
    return DynamicsRecord("A", "new", {"nombre": value}, id="r", operations=stamp, by_us=by_us)


def link(*intents: Intent) -> Link:
    return Link(cmms_id="1", row_id="r", key="A", bases={"nombre": Base(cmms="old", dynamics="old")}, intents=intents)


def test_bases_follow_a_write_that_landed_and_was_rounded() -> None:
    resolved = resolve_in_doubt(ASSET, link(intent()), NO_RECORD, row("new.", "op", by_us=True), NOW)
    assert (resolved.intents, resolved.bases["nombre"]) == ((), Base(cmms="new", dynamics="new.", rule=NAME))


@pytest.mark.parametrize(
    ("doubtful", "stamp", "known"),
    [(intent(), "op~", "op~"), (intent(etag=None), "a later operation", None)],
    ids=["a part of it", "a create; a restored ledger has forgotten the stamp"],
)
def test_a_write_that_the_values_settle_makes_only_its_own_stamp_known(
    doubtful: Intent, stamp: str, known: str | None
) -> None:
    resolved = resolve_in_doubt(ASSET, link(doubtful), NO_RECORD, row("new", stamp, by_us=True), NOW)
    assert (resolved.intents, resolved.bases["nombre"].dynamics, resolved.seen.stamp) == ((), "new", known)


def test_an_edit_after_a_write_that_landed_stays_an_edit() -> None:
    resolved = resolve_in_doubt(ASSET, link(intent()), NO_RECORD, row("edited", "op"), NOW)
    assert resolved.bases["nombre"] == Base(cmms="new", dynamics="new", rule=NAME)


def said(value: Value) -> CmmsRecord:
    return CmmsRecord("A", "1", {"nombre": value}, id="1")


@pytest.mark.parametrize("cmms", ["new", "newer"], ids=["its source says the same", "its source says something new"])
def test_an_old_value_that_may_be_an_edit_since_is_unclear(cmms: Value) -> None:
    shown = row("old", "op")
    resolved = resolve_in_doubt(ASSET, link(intent()), said(cmms), shown, NOW)
    unclear = Base(cmms="new", dynamics="old", rule=NAME, unclear="dynamics", why="late_write")
    assert (resolved.intents, resolved.bases["nombre"]) == ((), unclear)
    outcome = Verdict("cmms", "late_write") if cmms == "newer" else Verdict("unchanged", unclear="dynamics")
    assert judge(ASSET.fields["nombre"], cmms, "old", unclear) == outcome


def test_a_write_to_a_column_that_cannot_be_read_counts_as_landed() -> None:
    shown = replace(row("old", "op"), values={})
    resolved = resolve_in_doubt(ASSET, link(intent()), said("new"), shown, NOW)
    assert resolved.bases["nombre"] == Base(cmms="new", dynamics="new", rule=NAME)


def referring() -> EntityMapping:
    """The asset with a name that refers to a row."""
    fields = {**ASSET.fields, "nombre": ASSET.fields["nombre"].model_copy(update={"type": "lookup"})}
    return EntityMapping.model_construct(**{**dict(ASSET), "fields": fields})


@pytest.mark.parametrize(
    ("write", "held"),
    [
        pytest.param(intent(), ("new", None), id="an update of another value"),
        pytest.param(replace(intent(), before={"nombre": None}), (None, "dynamics"), id="an update of nothing"),
        pytest.param(replace(intent(etag=None), before={}), (None, "dynamics"), id="a create"),
    ],
)
def test_an_empty_lookup_where_a_reference_was_written_is_a_change_or_unclear(
    write: Intent, held: tuple[Value, Side | None]
) -> None:
    resolved = resolve_in_doubt(referring(), link(write), said("new"), row(None, "op", by_us=True), NOW)
    assert (resolved.bases["nombre"].dynamics, resolved.bases["nombre"].unclear) == held


def test_bases_stay_where_a_write_did_not_land() -> None:
    resolved = resolve_in_doubt(ASSET, link(intent()), NO_RECORD, row("edited", "another"), NOW)
    assert (resolved.intents, resolved.bases) == ((), link().bases)


@pytest.mark.parametrize(
    ("shown", "base", "conflicts"),
    [
        pytest.param("new", Base(cmms="new", dynamics="new", rule=NAME), [], id="the intended value: landed"),
        pytest.param("old", Base(cmms="old", dynamics="old"), [], id="the old value: did not land"),
        pytest.param(
            "else", Base(cmms="new", dynamics="new", rule=NAME), ["late_write"], id="anything else: landed, on record"
        ),
    ],
)
def test_without_a_stamp_three_lines_decide_each_field(shown: Value, base: Base, conflicts: list[str]) -> None:
    unstamped = replace(row(shown), operations=None)
    resolved = resolve_in_doubt(ASSET, link(intent()), NO_RECORD, unstamped, NOW)
    assert (resolved.bases["nombre"], [one.why for one in resolved.conflicts]) == (base, conflicts)


@pytest.mark.parametrize(
    ("doubtful", "held", "by_us", "expected"),
    [
        pytest.param(intent(), "old", True, Base(cmms="old", dynamics="old"), id="nobody edited it: left out"),
        pytest.param(intent(), "old", False, (NEWS, "old", "late_write"), id="left out, or put back: on record"),
        pytest.param(intent(etag=None), None, False, (NEWS, None, "late_write"), id="left out of a create, or emptied"),
        pytest.param(intent(), "new", False, ("new", "new", None), id="the intended value: landed"),
    ],
)
def test_what_a_part_of_a_write_does_not_show_is_written_again_on_record_where_somebody_edited_since(
    doubtful: Intent, held: Value, by_us: bool, expected: Base | tuple[Value, Value, str | None]
) -> None:
    of_create = doubtful.model_copy(update={"before": {}}) if doubtful.creates else doubtful
    base = resolve_in_doubt(ASSET, link(of_create), said("new"), row(held, "op~", by_us=by_us), NOW).bases["nombre"]
    assert expected in (base, (base.cmms, base.dynamics, base.why))


def test_what_a_late_write_would_have_carried_is_on_record_as_its_source_says_it() -> None:
    closing = intent().model_copy(update={"values": {"nombre": "100001"}, "sources": {"nombre": "RECIBIDA"}})
    resolved = resolve_in_doubt(ASSET, link(closing), NO_RECORD, replace(row("1"), operations=None), NOW)
    (record,) = resolved.conflicts
    assert (record.winner, record.won, record.lost) == ("dynamics", "1", "RECIBIDA")


@pytest.mark.parametrize("side", ["dynamics", "cmms"])
def test_another_value_in_what_a_create_made_and_somebody_edited_is_an_edit(side: Side) -> None:
    doubted, shown = link(intent(etag=None, side=side)), row("else", "op")
    sides = (replace(said("else"), operations=("op",)), shown) if side == "cmms" else (said("new"), shown)
    base = resolve_in_doubt(ASSET, doubted, *sides, NOW).bases["nombre"]
    assert base == Base(cmms="new", dynamics="new", rule=NAME)


def test_another_value_in_what_a_create_made_in_dynamics_is_what_dynamics_made_of_it() -> None:
    resolved = resolve_in_doubt(ASSET, link(intent(etag=None)), said("new"), row("NEW", "op", by_us=True), NOW)
    assert resolved.bases["nombre"] == Base(cmms="new", dynamics="NEW", rule=NAME)


def test_another_value_in_what_a_create_made_in_the_cmms_is_of_one_that_a_restored_ledger_forgot() -> None:
    record = replace(said("else"), operations=("op",), by_us=True)
    resolved = resolve_in_doubt(ASSET, link(intent(etag=None, side="cmms")), record, row("new"), NOW)
    assert (resolved.intents, resolved.bases) == ((), link().bases)


def test_a_row_whose_create_cannot_land_any_more_is_forgotten() -> None:
    resolved = resolve_in_doubt(ASSET, link(intent(etag=None, expires_at=OVER)), NO_RECORD, NO_ROW, NOW)
    assert (resolved.row_id, resolved.intents) == (None, ())


def test_the_cmms_names_the_writes_that_a_record_took() -> None:
    record = CmmsRecord("A", "new", {"nombre": "edited"}, id="1", operations=("other", "op"))
    resolved = resolve_in_doubt(ASSET, link(intent(side="cmms")), record, NO_ROW, NOW)
    assert (resolved.bases["nombre"].cmms, resolved.seen.operation) == ("new", "op")


def test_a_later_operation_than_the_write_s_own_is_not_known_by_it() -> None:
    record = CmmsRecord("A", "new", {"nombre": "edited"}, id="1", operations=("op", "later"))
    resolved = resolve_in_doubt(ASSET, link(intent(side="cmms")), record, NO_ROW, NOW)
    assert (resolved.bases["nombre"].cmms, resolved.seen.operation) == ("new", None)


@pytest.mark.parametrize("cmms", [None, "RECHAZADO"])
def test_only_the_state_that_a_row_was_born_with_outlives_the_rule_of_a_write_in_doubt(cmms: Value) -> None:
    order = document_mapping().entities["order"]
    write = replace(intent(), values={"estado": "4"}, sources={"estado": "X"}, before={}, rules={"estado": "earlier"})
    born = Link(cmms_id="1", row_id="r", bases={"estado": Base(cmms=cmms, dynamics="1")}, intents=(write,))
    resolved = resolve_in_doubt(order, born, NO_RECORD, replace(row("new", "another"), etag="old"), NOW)
    assert (resolved.intents[0].sources, "estado" in resolved.bases) == ({}, cmms is None)


def test_a_write_may_land_for_a_quarter_of_an_hour_after_its_intent() -> None:
    assert may_still_land(link(), NOW) is None
    assert may_still_land(link(intent(expires_at=NOW)), NOW) == LATEST
