"""A record of the CMMS that is not of its API's form is reported by every run, and costs the others nothing."""

from datetime import timedelta
from typing import Any, Final

import pytest

from shared.flows.reconcile.drift import DriftClass
from tests.reconcile.world import World

UNUSABLE: Final[dict[str, dict[str, Any]]] = {
    "version without an offset": {"version": "2026-01-31T12:00:00"},
    "version that is a number": {"version": 5},
    "no etag": {"etag": None},
    "no fields": {"campos": None},
    "fields in a list": {"campos": []},
}


@pytest.mark.parametrize("form", UNUSABLE)
async def test_an_incremental_pass_reports_a_record_that_cannot_be_read_and_repairs_the_others(
    world: World, form: str
) -> None:
    await world.reconciler().run()
    world.clock.advance(timedelta(minutes=15))
    for number in range(3, 6):
        world.cmms.put(f"A-{number:03}", nombre="Otra bomba")
    world.cmms.spoilt["A-004"] = UNUSABLE[form]
    (wrong,) = UNUSABLE[form]
    for _ in range(2):
        world.clock.advance(timedelta(minutes=15))
        report = await world.reconciler().run()
        assets = report.entities[0]
        assert (report.kind, assets.failed, assets.unreadable_records) == ("incremental", None, 1)
        (note,) = assets.notes
        assert "record A-004 of the CMMS" in note
        assert f"its {wrong} is not of the API's form" in note
        assert f"<li>asset: {note.replace("'", '&#x27;')}</li>" in (world.folder / "latest.html").read_text()
    assert {message.subject for message in world.bus.queues["assets"]} == {"A-003", "A-005"}


@pytest.mark.parametrize("form", UNUSABLE)
async def test_a_full_pass_goes_on_past_a_record_that_cannot_be_read(world: World, form: str) -> None:
    world.cmms.put("A-004", nombre="Otra bomba", announced=False)
    world.cmms.put("A-005", nombre="Otra bomba", announced=False)
    world.cmms.spoilt["A-004"] = UNUSABLE[form]
    report = await world.reconciler().run("full")
    assert (report.entities[0].failed, report.entities[0].unreadable_records) == (None, 1)
    assert {one.key: one.kind for one in report.findings} == {"A-005": DriftClass.CMMS_AHEAD}


async def test_a_record_that_cannot_be_read_is_never_taken_for_missing_and_is_repaired_once_it_can_be(
    world: World,
) -> None:
    world.cmms.put("A-004", nombre="Otra bomba", announced=False)
    world.cmms.put("N-001", announced=False)
    world.cmms.spoilt |= {"A-004": {"campos": None}, "N-001": {"etag": None}}
    report = await world.reconciler().run("full")
    assert (report.findings, report.repairs, report.pending) == ([], 0, 2)
    world.cmms.spoilt.clear()
    world.clock.advance(timedelta(minutes=15))
    report = await world.reconciler().run()
    assert (report.kind, report.entities[0].unreadable_records) == ("incremental", 0)
    assert {one.key: one.kind for one in report.findings} == {
        "A-004": DriftClass.CMMS_AHEAD,
        "N-001": DriftClass.MISSING_IN_DYNAMICS,
    }
