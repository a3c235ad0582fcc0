"""A batch that would empty one field of many records and fill it in none is no people's work: its writes are held."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from shared.domain.decide import Plan
from shared.domain.model import Side
from shared.errors import MassClear
from shared.flows.sync.work import Work

MANY: Final = 20
"""Records of one batch. A batch holds up to 500 messages."""

type Planned = tuple[Work, Plan]


def held(planned: Sequence[Planned]) -> dict[int, MassClear]:
    """Find the plans that are part of a mass of clears.

    Returns:
        By the plan's place, why its messages are tried again later. A person's replay is never held.
    """
    cleared: Counter[tuple[Side, str]] = Counter()
    filled: set[tuple[Side, str]] = set()
    for _, plan in planned:
        cleared.update(_cleared(plan))
        filled |= _filled(plan)
    masses = {field for field, count in cleared.items() if count >= MANY} - filled
    held_back: dict[int, MassClear] = {}
    for place, (work, plan) in enumerate(planned):
        fields = sorted({name for side, name in masses.intersection(_cleared(plan))})
        if fields and not work.is_replay:
            held_back[place] = MassClear(
                f"{fields[0]} would be emptied in {max(cleared.values())} records of one batch and filled in none: a"
                " column may have become unreadable, or a mapping wrong. Look at the records on both sides. What is"
                " parked in the end, and is meant, is done by a replay."
            )
    return held_back


def _cleared(plan: Plan) -> Iterable[tuple[Side, str]]:
    """The fields that the plan empties, by side."""
    return [
        (write.side, name)
        for write in plan.writes
        for name, value in write.values.items()
        if value is None and write.before.get(name) is not None
    ]


def _filled(plan: Plan) -> set[tuple[Side, str]]:
    return {(write.side, name) for write in plan.writes for name, value in write.values.items() if value is not None}
