"""Drift over the last runs: bars in SVG, stretched to whatever room there is, with their labels beside them as text."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from html import escape
from typing import Final

from shared.domain.words import plural
from shared.flows.reconcile.drift import DriftClass
from shared.flows.reconcile.report import PastRun

WIDTH: Final = 960
HEIGHT: Final = 200
_FOOT: Final = 8
"""The strip below the bars, which marks the full passes."""
_FEWEST: Final = 12
"""Room for as many runs, so that a few bars are not as wide as the page."""

_SHORT: Final = timedelta(minutes=2)

type Names = Mapping[DriftClass, str]


def chart(runs: Sequence[PastRun], names: Names) -> str:
    """A stacked bar for each run, the newest on the right, and the same figures as a table."""
    if not runs:
        return '<p class="empty">No earlier runs are known here.</p>'
    highest = max(sum(run.drift.values()) for run in runs)
    if not highest:
        return (
            f'<p class="empty">Nothing drifted in the last {plural(len(runs), "run")}, since {_time(runs[0])} UTC.</p>'
        )
    top = top_of_axis(highest)
    # Two runs within a minute, as on the local stack, are told apart by their seconds.
    form = "%Y-%m-%d %H:%M:%S" if runs[-1].at - runs[0].at < _SHORT else "%Y-%m-%d %H:%M"
    return (
        f'<div class="chart"><div class="ticks"><span>{top:,}</span><span>{top // 2:,}</span><span>0</span></div>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img"'
        f' aria-label="Drifted records in the last {plural(len(runs), "run")}">'
        f"{''.join(_drawn(runs, names, top))}</svg>"
        f'<div class="times"><span>{runs[0].at:{form}}</span><span>{runs[-1].at:{form}} UTC</span></div></div>'
        '<p class="hint">Records that drifted, by run. A mark below the line is a full pass.</p>'
        f"{_table(runs, names)}"
    )


def _drawn(runs: Sequence[PastRun], names: Names, top: int) -> Iterator[str]:
    room = WIDTH / max(len(runs), _FEWEST)
    ground = HEIGHT - _FOOT
    for y in (0.5, ground / 2, ground):
        yield f'<line x1="0" x2="{WIDTH}" y1="{y}" y2="{y}" class="base"/>'
    for number, run in enumerate(runs):
        x = number * room
        yield f"<g><title>{escape(_title(run, names))}</title>"
        yield f'<rect x="{x:.1f}" y="0" width="{room:.1f}" height="{HEIGHT}" class="hover"/>'
        y = float(ground)
        for kind in names:
            size = run.drift.get(kind, 0) / top * ground
            if size:
                y -= size
                yield (
                    f'<rect x="{x + room * 0.1:.1f}" y="{y:.2f}" width="{room * 0.8:.1f}" height="{size:.2f}"'
                    f' class="{kind.value}"/>'
                )
        if run.kind == "full":
            yield f'<rect x="{x + room * 0.1:.1f}" y="{ground + 3}" width="{room * 0.8:.1f}" height="4" class="full"/>'
        yield "</g>"


def _title(run: PastRun, names: Names) -> str:
    figures = ", ".join(f"{names[kind]} {count:,}" for kind, count in sorted(run.drift.items())) or "no drift"
    return f"{_time(run)} UTC, {run.kind}: {figures}"


def _table(runs: Sequence[PastRun], names: Names) -> str:
    head = "".join(
        f'<th scope="col"><i class="dot {kind.value}"></i>{escape(name)}</th>' for kind, name in names.items()
    )
    body = "".join(
        f'<tr><th scope="row">{_time(run)}</th><td>{run.kind}</td>'
        + "".join(f"<td>{run.drift.get(kind, 0):,}</td>" for kind in names)
        + "</tr>"
        for run in reversed(runs)
    )
    return (
        '<details class="figures"><summary>The same in figures</summary><div><table class="counts"><thead><tr>'
        f'<th scope="col">run (UTC)</th><th scope="col">pass</th>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        "</details>"
    )


def _time(run: PastRun) -> str:
    return f"{run.at:%Y-%m-%d %H:%M}"


def top_of_axis(highest: int) -> int:
    """The next even number that a person likes on an axis: 2, 4, 10, 20, 40, 100 and so on."""
    scale = 1
    while True:
        for step in (2, 4, 10):
            if step * scale >= highest:
                return step * scale
        scale *= 10
