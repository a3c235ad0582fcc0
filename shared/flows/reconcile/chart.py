"""Drift over the last runs, as bars in SVG."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from shared.domain.drift import DriftClass
from shared.flows.reconcile.report import PastRun

WIDTH: Final = 960
HEIGHT: Final = 250
_LEFT: Final = 64
_BOTTOM: Final = 22
_TOP: Final = 12


def chart(runs: Sequence[PastRun], names: Mapping[DriftClass, str]) -> str:
    """A stacked bar for each run, the newest on the right; its title tells its figures."""
    if not runs:
        return '<p class="empty">No earlier runs.</p>'
    most = max(1, *(sum(run.drift.values()) for run in runs))
    room = (WIDTH - _LEFT) / max(len(runs), 12)
    height = HEIGHT - _BOTTOM - _TOP
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Drifted records in the last {len(runs)} runs">',
        f'<text x="{_LEFT - 8}" y="{_TOP + 5}" class="axis end">{most:,}</text>',
        f'<text x="{_LEFT - 8}" y="{HEIGHT - _BOTTOM}" class="axis end">0</text>',
        f'<line x1="{_LEFT}" x2="{WIDTH}" y1="{HEIGHT - _BOTTOM}" y2="{HEIGHT - _BOTTOM}" class="base"/>',
    ]
    for number, run in enumerate(runs):
        x = _LEFT + number * room
        total = sum(run.drift.values())
        figures = ", ".join(f"{names[kind]} {count:,}" for kind, count in sorted(run.drift.items())) or "no drift"
        title = f"{run.at:%Y-%m-%d %H:%M} UTC, {run.kind}: {figures}"
        parts.append(f"<g><title>{escape(title)}</title>")
        parts.append(f'<rect x="{x:.1f}" y="{_TOP}" width="{room:.1f}" height="{height}" class="hover"/>')
        y = float(HEIGHT - _BOTTOM)
        for kind in names:
            size = run.drift.get(kind, 0) / most * height
            if size:
                y -= size
                width = max(room - 3, 1)
                parts.append(
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{size:.1f}" class="{kind.value}"/>'
                )
        if run.kind == "full":
            parts.append(f'<circle cx="{x + room / 2:.1f}" cy="{HEIGHT - _BOTTOM + 6}" r="2.5" class="full"/>')
        parts.append("</g>")
        if number == len(runs) - 1 and total:
            parts.append(f'<text x="{x + room / 2:.1f}" y="{y - 3:.1f}" class="axis middle">{total:,}</text>')
    parts.append(f'<text x="{_LEFT}" y="{HEIGHT - 3}" class="axis">{runs[0].at:%Y-%m-%d %H:%M}</text>')
    parts.append(f'<text x="{WIDTH}" y="{HEIGHT - 3}" class="axis end">{runs[-1].at:%Y-%m-%d %H:%M} UTC</text></svg>')
    return "".join(parts)
