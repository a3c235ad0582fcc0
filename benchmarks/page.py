"""Writes the document of all runs so far: for each scenario its table and its plot."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks import chart, versions
from benchmarks.clients.peers import ALL
from benchmarks.conditions import USUAL, Conditions, tight
from benchmarks.contestants import PRODUCT
from benchmarks.numbers import spread
from benchmarks.runs import FOLDER, Runs
from benchmarks.scenario import Column, Plot, Scenario, Size
from local.run import ROOT

PAGE: Final = ROOT / "docs" / "benchmarks.md"
_KEPT: Final = ("full", "medium")
"""Sizes whose document is the project's; others are tries, and stay in build/."""
_OTHERS: Final = (*(peer.name for peer in ALL), "bare")
_INTRODUCTION: Final = Path(__file__).with_name("introduction.md")


def write(scenarios: Sequence[Scenario], size: Size, folder: Path = FOLDER) -> Path:
    """Write the document and its plots from the runs in `folder`; gives the document's path."""
    page = PAGE if size.name in _KEPT else folder / size.name / "benchmarks.md"
    pictures = page.parent / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    parts = [_INTRODUCTION.read_text(encoding="utf-8").format(**_facts(size)).replace("\n\n\n", "\n").rstrip()]
    for scenario in scenarios:
        runs = Runs(scenario, size, folder)
        if runs.all:
            parts.append(_section(scenario, size, runs, pictures))
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return page


def _facts(size: Size) -> dict[str, str]:
    missing = [f"{peer.label}: {why}." for peer in ALL if (why := peer.missing()) is not None]
    return {
        "scale": size.name,
        "records": f"{size.records:,}",
        "note": size.note,
        "usual": _model(USUAL),
        "tight": _model(tight(size.records, size.window_seconds)),
        "machine": f"{os.cpu_count()} {platform.machine()} cores, {platform.system()}",
        "versions": versions.table(),
        "missing": " ".join(["Not measured here:", *missing]) if missing else "",
    }


def _model(conditions: Conditions) -> str:
    limits, costs = conditions.limits, conditions.costs
    return (
        f"{costs['request'] * 1000:g} ms for each request, {costs['create_row'] * 1000:g} ms for each row created or"
        f" updated; in any {limits.window_seconds:g} s at most {limits.requests:,} requests,"
        f" {limits.execution_seconds:g} s of execution and {limits.concurrency} at a time"
    )


def _section(scenario: Scenario, size: Size, runs: Runs, pictures: Path) -> str:
    columns = [one for one in scenario.columns if any(one.figure in run.figures for run in runs.all)]
    variants = _variants(scenario, size, runs)
    lines = [
        f"## {scenario.title}",
        scenario.about,
        "",
        f"| {' | '.join(['', *(one.heading for one in columns)])} |",
        f"|{'---|' * (len(columns) + 1)}",
        *(_row(scenario, runs, variant, columns) for variant in variants),
        "",
    ]
    for plot in scenario.plots:
        lines += [_picture(scenario, plot, runs, variants, pictures), ""]
    lines.append(_origin(scenario, size, runs))
    return "\n".join(lines)


def _variants(scenario: Scenario, size: Size, runs: Runs) -> list[str]:
    """Those that were run, in the scenario's order; last those that this machine cannot run now."""
    run = dict.fromkeys(run.variant for run in runs.all)
    known = [variant for variant in scenario.variants(size) if variant in run]
    return list(dict.fromkeys([*known, *run]))


def _origin(scenario: Scenario, size: Size, runs: Runs) -> str:
    """How many runs, when, of which version, beside how much else, and by which command."""
    counts = sorted({len(runs.of(run.variant)) for run in runs.all})
    number = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    loads = [value for run in runs.all for value in run.load]
    times = [run.at for run in runs.all]
    versions_ = ", ".join(sorted({run.commit for run in runs.all}))
    return (
        f"*{number} {'run' if counts == [1] else 'runs'} of each, in turn, {min(times)} to {max(times)} UTC, version"
        f" {versions_}, load averages {min(loads):g} to {max(loads):g}; `make bench SCALE={size.name}"
        f" ONLY={scenario.name}`*"
    )


def _row(scenario: Scenario, runs: Runs, variant: str, columns: Sequence[Column]) -> str:
    label = scenario.labels.get(variant, variant)
    name = f"**{label}**" if variant == PRODUCT else label
    return f"| {' | '.join([name, *(spread(runs.spread(variant, one.figure), one.unit) for one in columns)])} |"


def _picture(scenario: Scenario, plot: Plot, runs: Runs, variants: Sequence[str], pictures: Path) -> str:
    """Draw one plot; gives its line in the document."""
    unit = next(one.unit for one in scenario.columns if one.figure == plot.figure)
    rows = [
        chart.Bar(scenario.labels.get(variant, variant), value, not variant.startswith(_OTHERS))
        for variant in variants
        if (value := runs.spread(variant, plot.figure)) is not None
    ]
    name = f"bench-{scenario.name}-{plot.figure.replace('_', '-')}.svg"
    (pictures / name).write_text(chart.bars(plot.title, plot.axis, unit, rows), encoding="utf-8")
    return f"![{plot.title}](pictures/{name})"
