"""One field that is emptied in many records and filled in few is no people's work: such writes are held."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from shared.domain.blocked import Blocked
from shared.domain.decide import Plan, Snapshot
from shared.domain.decide.refused import refusal
from shared.domain.link import Identity
from shared.domain.model import Side
from shared.domain.schema.mapping import EntityMapping
from shared.domain.write import Write
from shared.errors import MassClear
from shared.flows.sync.work import Work

MANY: Final = 20
"""Records, of one batch or of several within `WINDOW`."""
WINDOW: Final = timedelta(minutes=1)
PER_FILL: Final = 10
"""Clears for each record in which the field is given another value within `WINDOW`: more are no people's work.

What a new record is born with tells nothing of that.
"""
ENOUGH: Final = 1000
"""Records of which is remembered that the field was given a value lately: there may be many more."""

type Field = tuple[str, Side, str]
"""An entity, the side that is written, and a field."""
type Planned = tuple[Work, Snapshot, Plan]


class MassClears:
    """What one worker has seen emptied and filled lately: a flood may come in small batches."""

    def __init__(self) -> None:
        self._lately: defaultdict[Field, dict[Identity, tuple[datetime, bool]]] = defaultdict(dict)
        """For each record, when the field was written last, and whether it was emptied."""

    def held(self, entity: EntityMapping, planned: Sequence[Planned], now: datetime) -> list[list[Blocked]]:
        """Find the writes that are part of a mass of clears.

        Returns:
            For each plan, in order, its fields that are parked instead.
        """
        clears = [self._note(entity, work, plan, now) for work, _, plan in planned]
        masses = self._masses(now)
        return [
            [] if _is_meant(work, snapshot) else _held(entity, own, masses)
            for (work, snapshot, _), own in zip(planned, clears, strict=True)
        ]

    def _note(self, entity: EntityMapping, work: Work, plan: Plan, now: datetime) -> dict[Field, Write]:
        """Note which fields a plan empties and which it fills.

        Returns:
            The fields that it empties, each with its write.
        """
        clears: dict[Field, Write] = {}
        for write in plan.writes:
            for name, value in write.values.items():
                field = (entity.name, write.side, name)
                if value is None:
                    clears[field] = write
                if value is None or (len(self._lately[field]) < ENOUGH and not write.creates):
                    self._lately[field][work.identity] = (now, value is None)
        return clears

    def _masses(self, now: datetime) -> dict[Field, int]:
        """The fields that are emptied in too many records, each with their number; one that is tried again is one."""
        masses: dict[Field, int] = {}
        for field, records in self._lately.items():
            self._lately[field] = {name: (at, empty) for name, (at, empty) in records.items() if now - at <= WINDOW}
            clears = sum(empty for _, empty in self._lately[field].values())
            if clears >= max(MANY, PER_FILL * (len(self._lately[field]) - clears) + 1):
                masses[field] = clears
        return masses


def _is_meant(work: Work, snapshot: Snapshot) -> bool:
    """Whether a person replays what was parked for this, or said of a side that it was restored, which may empty it."""
    return MassClear.reason in work.insists_on or snapshot.link.counting is not None


def _held(entity: EntityMapping, own: Mapping[Field, Write], masses: Mapping[Field, int]) -> list[Blocked]:
    mass = sorted(own.keys() & masses.keys())
    return [refusal(entity, field[2], own[field], _error(field, masses[field])) for field in mass]


def _error(field: Field, count: int) -> MassClear:
    _, side, name = field
    where = {"dynamics": "in Dynamics", "cmms": "in the CMMS"}[side]
    return MassClear(
        f"{name} would be emptied {where} in {count} records within a minute, and filled in few: a column may have"
        " become unreadable, an import or the mapping may be wrong. Look at the field on both sides. If it is meant to"
        " be empty, replay this message; else mend the cause, and the value that is then read counts.",
        field=name,
    )
