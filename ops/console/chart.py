"""Messages by outcome over the last hour, as bars in SVG with the same figures beside them as a table."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from markupsafe import Markup

from ops.activity import Processed
from shared.domain.words import plural
from shared.flows.reconcile.report_chart import top_of_axis
from shared.flows.routing.told import End

ENDS: Final[dict[End, str]] = {
    "applied": "applied",
    "already true": "already-true",
    "retried": "retried",
    "parked": "parked",
}
"""Each outcome with its class in the style sheet."""
SLOTS: Final = 30
SLOT: Final = timedelta(minutes=2)
_WIDTH, _HEIGHT = 900, 160


@dataclass(frozen=True)
class Hour:
    """The last hour: bars as markup, the highest bar, and the counts by entity and outcome."""

    svg: Markup
    top: int
    totals: dict[str, Counter[End]]
    count: int
    lag: float | None

    @property
    def ends(self) -> dict[End, str]:
        """The outcomes, with their classes."""
        return ENDS


def hour(processed: Sequence[Processed], now: datetime) -> Hour:
    """Count the last hour's messages in slots of two minutes."""
    begin = now - SLOT * SLOTS
    slots: list[Counter[End]] = [Counter() for _ in range(SLOTS)]
    totals: dict[str, Counter[End]] = {}
    for one in processed:
        place = min(int((one.at - begin) / SLOT), SLOTS - 1)
        if place < 0:
            continue
        slots[place][one.told.end] += 1
        totals.setdefault(one.told.entity, Counter())[one.told.end] += 1
    top = top_of_axis(max(slot.total() for slot in slots))
    lags = [one.told.after for one in processed if one.told.end == "applied" and one.told.after is not None]
    return Hour(
        svg=_svg(slots, top, begin),
        top=top,
        totals=dict(sorted(totals.items())),
        count=sum(map(Counter.total, slots)),
        lag=lags[-1] if lags else None,
    )


def _svg(slots: Sequence[Counter[End]], top: int, begin: datetime) -> Markup:
    room = _WIDTH / len(slots)
    bars = Markup()
    for number, slot in enumerate(slots):
        at = begin + SLOT * number
        told = ", ".join(f"{slot[end]:,} {end}" for end in ENDS if slot[end]) or "no message"
        bars += Markup('<g><title>{}</title><rect class="slot" x="{:.1f}" y="0" width="{:.1f}" height="{}"/>').format(
            f"{at:%H:%M} UTC: {told}", number * room, room, _HEIGHT
        )
        y = float(_HEIGHT)
        for end, name in ENDS.items():
            size = slot[end] / top * _HEIGHT
            if size:
                y -= size
                bars += Markup('<rect class="{}" x="{:.1f}" y="{:.2f}" width="{:.1f}" height="{:.2f}"/>').format(
                    name, number * room + room * 0.12, y, room * 0.76, size
                )
        bars += Markup("</g>")
    label = plural(sum(map(Counter.total, slots)), "message")
    return Markup(
        '<svg class="bars" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{} in the last hour">'
        "{}</svg>"
    ).format(_WIDTH, _HEIGHT, label, bars)
