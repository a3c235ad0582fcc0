"""From runs to the document: what is kept, the medians, the chart, and chunks that are fair to everybody."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import chart, page
from benchmarks.clients.job import chunk_size
from benchmarks.conditions import permitted_seconds, tight
from benchmarks.contestants import contestants
from benchmarks.numbers import shown, spread
from benchmarks.runs import Runs, Spread
from benchmarks.scenario import MINIATURE, Column, Plot, Scenario, Unit

SCENARIO = Scenario(
    "one",
    "One",
    "What is asked.",
    lambda _: ["a", "b"],
    lambda _size, _variant: {},
    (Column("seconds", "time", Unit.SECONDS), Column("never", "never measured")),
    plots=(Plot("seconds", "How long"),),
    labels={"a": "the first"},
)


def test_the_runs_of_an_interrupted_measurement_are_there_again(tmp_path: Path) -> None:
    runs = Runs(SCENARIO, MINIATURE, tmp_path)
    for seconds in (3.0, 1.0, 2.0):
        runs.add("a", {"seconds": seconds}, before=0.5)
    runs.add("b", {}, before=0.5)
    again = Runs(SCENARIO, MINIATURE, tmp_path)
    assert again.all == runs.all
    assert again.spread("a", "seconds") == Spread(2.0, 1.0, 3.0)
    assert again.spread("b", "seconds") is None
    again.forget(["a"])
    assert [run.variant for run in Runs(SCENARIO, MINIATURE, tmp_path).all] == ["b"]


def test_the_document_shows_each_variant_s_median_and_its_plots(tmp_path: Path) -> None:
    runs = Runs(SCENARIO, MINIATURE, tmp_path)
    for variant, seconds in (("a", 3.0), ("b", 5.0), ("a", 1.0), ("a", 2.0)):
        runs.add(variant, {"seconds": seconds}, before=0.5)
    written = page.write([SCENARIO], MINIATURE, tmp_path)
    text = written.read_text(encoding="utf-8")
    assert "## One\nWhat is asked.\n\n|  | time |\n|---|---|\n| the first | 2 s (1 to 3) |\n| b | 5 s |\n" in text
    assert "*1 to 3 runs of each, in turn" in text
    pictures = re.findall(r"!\[How long\]\((.+)\)", text)
    assert [(written.parent / picture).exists() for picture in pictures] == [True]


def test_the_document_says_which_client_is_not_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    assert "webapi" not in contestants()
    text = page.write([], MINIATURE, tmp_path).read_text(encoding="utf-8")
    assert "dynamics-web-api, 8 tasks: this machine has no Node.js." in text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (17.26, Unit.SECONDS, "17.3 s"),
        (0.333, Unit.SECONDS, "0.33 s"),
        (2180.4, Unit.SECONDS, "2,180 s"),
        (2180, Unit.COUNT, "2,180"),
        (0.5, Unit.COUNT, "0.5"),
        (0, Unit.SECONDS, "0 s"),
    ],
)
def test_a_figure_is_written_as_short_as_it_means_something(value: float, unit: Unit, text: str) -> None:
    assert shown(value, unit) == text


def test_a_spread_shows_only_where_runs_differ() -> None:
    assert spread(Spread(2, 1, 3), Unit.SECONDS) == "2 s (1 to 3)"
    assert spread(Spread(2, 2, 2), Unit.COUNT) == "2"
    assert spread(None, Unit.COUNT) == ""


@pytest.mark.parametrize(
    ("rows", "tasks", "chunk", "requests"),
    [(10_000, 8, 625, 16), (1_000, 8, 125, 8), (8_000, 8, 1000, 8), (3, 8, 1, 3), (10_000, 1, 1000, 10)],
)
def test_rows_go_in_as_few_rounds_of_equal_chunks_as_there_are_tasks_for(
    rows: int, tasks: int, chunk: int, requests: int
) -> None:
    assert chunk_size(rows, tasks=tasks) == chunk
    assert -(-rows // chunk) == requests


@pytest.mark.parametrize(
    ("records", "chunk", "seconds"),
    [
        # Four requests of 5.1 s use 20.4 of 20 s: three bursts, a window of 30 s between them.
        (10_000, 1_000, 3 * 5.1 + 2 * 30),
        # Four of 1.35 s use more than 2 s as well, but there is no fifth.
        (1_000, 250, 1.35),
        (1_000, 100, 3 * 0.6 + 2 * 30),
    ],
)
def test_a_quota_s_least_time_is_that_of_bursts_a_window_apart(records: int, chunk: int, seconds: float) -> None:
    assert permitted_seconds(tight(records, 30), records, chunk) == pytest.approx(seconds)


def test_a_chart_is_a_picture_whose_longest_bar_ends_within_it() -> None:
    rows = [
        chart.Bar("ours <1>", Spread(17.3, 16.0, 19.0), ours=True),
        chart.Bar("theirs", Spread(0, 0, 0), ours=False),
    ]
    picture = ET.fromstring(chart.bars("A & B", "seconds", Unit.SECONDS, rows))  # noqa: S314  # our own text
    width = int(picture.attrib["width"])
    texts = [element.text for element in picture.iter() if element.tag.endswith("text")]
    assert {"A & B", "seconds", "ours <1>", "theirs", "17.3 s", "20 s"} <= set(texts)
    ends = [
        int(bar.attrib["x"]) + int(bar.attrib["width"])
        for bar in picture.iter()
        if bar.tag.endswith("rect") and "x" in bar.attrib
    ]
    assert len(ends) == len(rows)
    assert max(ends) < width
    assert re.search(r"^0 s$", str(texts[2])) is not None
