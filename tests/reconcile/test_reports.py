"""Where reports are kept, for how long, and what their JSON says."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from shared.adapters.reports import FolderReports
from shared.errors import Unavailable
from shared.flows.reconcile.report_html import as_html, as_json
from shared.flows.reconcile.report_store import ReportStore
from tests.reconcile.reports import HOSTILE, full
from tests.reconcile.world import World


async def test_a_run_keeps_its_report_as_a_page_and_as_json(world: World) -> None:
    world.cmms.put("A-001", nombre="Nueva", announced=False)
    report = await world.reconciler().run()
    assert report.stored is not None
    page = world.folder / Path(report.stored).name
    assert page.suffix == ".html"
    assert (world.folder / "latest.html").read_text() == page.read_text()
    found = json.loads(page.with_suffix(".json").read_text())
    assert found["run"] == report.run
    assert found["requests"] == {}
    assert found["drift"] == {"cmms_ahead": 1}
    assert found["findings"] == [
        {
            "entity": "asset",
            "key": "A-001",
            "class": "cmms_ahead",
            "action": "repair enqueued",
            "differences": [
                {
                    "field": "nombre",
                    "cmms": "Nueva",
                    "dynamics": "Bomba",
                    "rule": "both may change it; in a conflict the CMMS wins",
                    "plan": "written to Dynamics",
                }
            ],
        }
    ]


async def test_old_reports_go_and_other_files_stay(world: World) -> None:
    await world.reconciler().run()
    (world.folder / "notes.txt").write_text("mine")
    first = {path.name for path in world.folder.iterdir()}
    world.clock.advance(timedelta(days=31))
    await world.reconciler().run()
    second = {path.name for path in world.folder.iterdir()}
    assert first & second == {"latest.html", "latest.json", "notes.txt"}
    assert len(second) == 5


async def test_a_report_that_cannot_be_kept_undoes_no_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    reports = FolderReports(tmp_path / "file")
    with pytest.raises(Unavailable, match="REPORT_LOCATION"):
        await reports.save("x.html", b"", "text/html")
    report = full(1)
    await ReportStore(reports, timedelta(days=1)).put(report)
    assert report.stored is None


def test_hostile_values_leave_no_markup_in_the_page() -> None:
    page = as_html(full(3))
    assert HOSTILE not in page
    assert page.count("</script>") == 3, "the page's own"
    assert "\\u003c/script>" in page


def test_the_json_has_every_finding() -> None:
    found = json.loads(as_json(full(10)))
    assert len(found["findings"]) == 13
    assert found["findings_left_out"] == 0
    assert len(found["history"]) == 40
