"""A bar chart as SVG: a bar for each variant, its median in figures, and a line from the least run to the greatest."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import count
from typing import Final

from benchmarks.numbers import shown
from benchmarks.runs import Spread
from benchmarks.scenario import Unit

_WIDTH: Final = 760
_LABELS: Final = 270
_BARS: Final = 360
_ROW: Final = 34
_TOP: Final = 58
_TICKS: Final = 5
_STEPS: Final = (1, 2, 5)
# Readable on white and on black, since the page's theme is not known.
_OURS, _OTHERS, _INK, _GRID = "#1f77b4", "#9aa5b1", "#6b7785", "#c9d1d9"
_STYLE: Final = 'font-family="system-ui, sans-serif" font-size="13"'


@dataclass(frozen=True)
class Bar:
    """One variant; `ours` is drawn in the product's colour."""

    label: str
    spread: Spread
    ours: bool


def bars(title: str, axis: str, unit: Unit, rows: Sequence[Bar]) -> str:
    """Draw the chart; `axis` says what the numbers are and which way is better."""
    step, most = _scale(max(row.spread.highest for row in rows))
    height = _TOP + _ROW * len(rows) + 46
    ground = _TOP + _ROW * len(rows)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}"'
            f' height="{height}" role="img" aria-label="{escape(title)}" {_STYLE}>'
        ),
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="14" y="26" font-size="16" font-weight="600" fill="#1f2933">{escape(title)}</text>',
        f'<text x="14" y="45" fill="{_INK}">{escape(axis)}</text>',
    ]
    for number in range(round(most / step) + 1):
        x = _x(number * step, most)
        parts += [
            f'<line x1="{x}" y1="{_TOP}" x2="{x}" y2="{ground}" stroke="{_GRID}"/>',
            f'<text x="{x}" y="{ground + 18}" text-anchor="middle" fill="{_INK}">{shown(number * step, unit)}</text>',
        ]
    for number, row in enumerate(rows):
        parts += _bar(row, _TOP + _ROW * number, most, unit)
    note = "bar: median; line: least and greatest run"
    parts.append(f'<text x="{_LABELS}" y="{ground + 38}" font-size="11" fill="{_INK}">{note}</text></svg>')
    return "\n".join(parts) + "\n"


def _bar(row: Bar, top: int, most: float, unit: Unit) -> list[str]:
    middle, end = top + _ROW // 2, _x(row.spread.median, most)
    low, high = _x(row.spread.lowest, most), _x(row.spread.highest, most)
    colour, weight = (_OURS, "600") if row.ours else (_OTHERS, "400")
    return [
        (
            f'<text x="{_LABELS - 10}" y="{middle + 5}" text-anchor="end" font-weight="{weight}" fill="#1f2933">'
            f"{escape(row.label)}</text>"
        ),
        f'<rect x="{_LABELS}" y="{top + 7}" width="{max(1, end - _LABELS)}" height="{_ROW - 14}" fill="{colour}"/>',
        f'<line x1="{low}" y1="{middle}" x2="{high}" y2="{middle}" stroke="#1f2933" stroke-width="2"/>',
        f'<text x="{max(end, high) + 8}" y="{middle + 5}" fill="#1f2933">{shown(row.spread.median, unit)}</text>',
    ]


def _x(value: float, most: float) -> int:
    return _LABELS + round(_BARS * value / most)


def _scale(highest: float) -> tuple[float, float]:
    """The distance of two grid lines and the end of the axis, both round numbers: 17.3 gives 5 and 20."""
    rough = max(highest, 1e-9) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * size * 10**more for more in count() for size in _STEPS if power * size * 10**more >= rough)
    return step, step * math.ceil(highest / step) if highest > 0 else step
