"""How figures are written."""

from typing import Final

from benchmarks.runs import Spread
from benchmarks.scenario import Unit

_WHOLE: Final = 100
_TENTHS: Final = 10


def shown(value: float, unit: Unit) -> str:
    """A figure with its unit.

    Example: 17.26 s is "17.3 s", 2180 requests are "2,180".
    """
    if unit is Unit.COUNT:
        text = f"{value:,.0f}" if value >= _TENTHS or value == int(value) else f"{value:.1f}"
    elif value >= _WHOLE:
        text = f"{value:,.0f}"
    else:
        text = f"{value:.1f}".removesuffix(".0") if value >= _TENTHS else f"{value:.2f}".removesuffix(".00")
    return f"{text} {unit.value}".rstrip()


def spread(value: Spread | None, unit: Unit) -> str:
    """A median with its spread, such as "17.3 s (16.0 to 19.1)"; one number where all runs agree."""
    if value is None:
        return ""
    middle = shown(value.median, unit)
    low, high = (shown(one, unit).removesuffix(unit.value).strip() for one in (value.lowest, value.highest))
    return middle if low == high else f"{middle} ({low} to {high})"
