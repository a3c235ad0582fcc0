"""Rule 6 as a table: docs/architecture.md, "A write in doubt"."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.decide.in_doubt import LATEST, Evidence, may_still_land, resolve_in_doubt, verdict
from shared.domain.link import Base, Intent, Link
from shared.domain.model import CmmsRecord, DynamicsRecord, Side, Value
from tests.fakes import document_mapping

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SOON = NOW + timedelta(seconds=1)
OVER = NOW - LATEST - timedelta(seconds=1)
ASSET = document_mapping().entities["asset"].model_copy(update={"stamp": "stamp"})
UNSTAMPED = ASSET.model_copy(update={"stamp": None})
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


def seen(*, exists: bool = True, etag: str | None = "old", shows: bool | None = None) -> Evidence:
    return Evidence(exists=exists, etag=etag if exists else None, shows=shows, last=False)


TABLE = [
    # id, intent, evidence, verdict
    ("an update that the side shows", intent(), seen(etag="new", shows=True), "landed"),
    ("an update; the etag moved, not shown", intent(), seen(etag="new", shows=False), "not_landed"),
    ("an update; the etag moved, nothing names writes", intent(), seen(etag="new"), "unclear"),
    ("an update; the etag is the old one", intent(), seen(shows=False), "open"),
    ("an update; the etag is the old one, too late", intent(expires_at=OVER), seen(shows=False), "not_landed"),
    ("an update of a row that is gone", intent(), seen(exists=False), "not_landed"),
    ("a create that is there under its id", intent(etag=None), seen(shows=False), "landed"),
    ("a create that is not there", intent(etag=None), seen(exists=False), "open"),
    ("a create that is not there, too late", intent(etag=None, expires_at=OVER), seen(exists=False), "not_landed"),
    ("a create in the CMMS that is shown", intent(etag=None, side="cmms"), seen(shows=True), "landed"),
    ("a create in the CMMS; another made the record", intent(etag=None, side="cmms"), seen(shows=False), "not_landed"),
    ("a create in the CMMS; nothing names writes", intent(etag=None, side="cmms"), seen(), "not_landed"),
]


@pytest.mark.parametrize(
    ("doubtful", "evidence", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_a_write_in_doubt(doubtful: Intent, evidence: Evidence, expected: str) -> None:
    assert verdict(doubtful, evidence, NOW) == expected


def row(value: Value, *, etag: str = "new", stamp: str | None = None, by: str = "person") -> DynamicsRecord:
    return DynamicsRecord("A", etag, {"nombre": value}, id="r", stamp=stamp, modified_by=by)


def link(*intents: Intent) -> Link:
    return Link(cmms_id="1", row_id="r", key="A", bases={"nombre": Base(cmms="old", dynamics="old")}, intents=intents)


def test_bases_follow_a_write_that_landed_and_was_rounded() -> None:
    resolved = resolve_in_doubt(ASSET, link(intent()), None, row("new.", stamp="op", by="us"), NOW, us="us")
    assert (resolved.intents, resolved.bases["nombre"]) == ((), Base(cmms="new", dynamics="new.", rule=NAME))


def test_an_edit_after_a_write_that_landed_stays_an_edit() -> None:
    resolved = resolve_in_doubt(ASSET, link(intent()), None, row("edited", stamp="op"), NOW, us="us")
    assert resolved.bases["nombre"] == Base(cmms="new", dynamics="new", rule=NAME)


def test_bases_stay_where_a_write_did_not_land() -> None:
    resolved = resolve_in_doubt(ASSET, link(intent()), None, row("edited", stamp="another"), NOW)
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
    resolved = resolve_in_doubt(UNSTAMPED, link(intent()), None, row(shown), NOW)
    assert (resolved.bases["nombre"], [one.why for one in resolved.conflicts]) == (base, conflicts)


def test_a_row_whose_create_cannot_land_any_more_is_forgotten() -> None:
    resolved = resolve_in_doubt(ASSET, link(intent(etag=None, expires_at=OVER)), None, None, NOW)
    assert (resolved.row_id, resolved.intents) == (None, ())


def test_the_cmms_names_the_writes_that_a_record_took() -> None:
    record = CmmsRecord("A", "new", {"nombre": "edited"}, id="1", operations=("other", "op"))
    resolved = resolve_in_doubt(ASSET, link(intent(side="cmms")), record, None, NOW)
    assert (resolved.bases["nombre"].cmms, resolved.seen.operation) == ("new", "op")


def test_a_write_may_land_for_a_quarter_of_an_hour_after_its_intent() -> None:
    assert may_still_land(link(), NOW) is None
    assert may_still_land(link(intent(expires_at=NOW)), NOW) == LATEST
