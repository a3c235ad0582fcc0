"""The classes of drift, decided by the engine's own plan."""

from datetime import datetime
from enum import StrEnum

from shared.domain.ledger import Entry
from shared.domain.mapping import EntityMapping
from shared.domain.plan import Sides, decide
from shared.errors import KeyNotUsable, RecordGone


class DriftClass(StrEnum):
    """How a record differs."""

    CMMS_AHEAD = "cmms_ahead"
    DYNAMICS_AHEAD = "dynamics_ahead"
    CONFLICT = "conflict"
    MISSING_IN_DYNAMICS = "missing_in_dynamics"
    MISSING_IN_CMMS = "missing_in_cmms"
    GONE_FROM_DYNAMICS = "gone_from_dynamics"
    DUPLICATE_KEY = "duplicate_key"

    @property
    def repairable(self) -> bool:
        """Whether a resync may mend it; the others need a person, and are only reported."""
        return self not in {DriftClass.GONE_FROM_DYNAMICS, DriftClass.DUPLICATE_KEY}


def classify(entity: EntityMapping, entry: Entry, sides: Sides, now: datetime) -> DriftClass | None:
    """The class of a record's drift, or None where a sync would write nothing.

    A field that is blocked and was parked for the same value is known, and no drift.
    """
    plan = decide(entity, entry, sides, now)
    for block in plan.blocked:
        if isinstance(block.error, RecordGone):
            return DriftClass.GONE_FROM_DYNAMICS
        if isinstance(block.error, KeyNotUsable):
            return DriftClass.DUPLICATE_KEY
    fresh = [block for block in plan.blocked if not block.same_as(entry.parked.get(block.field))]
    to_dynamics, to_cmms = plan.to_dynamics, plan.to_cmms
    if to_dynamics is not None and to_dynamics.create:
        return DriftClass.MISSING_IN_DYNAMICS
    if to_cmms is not None and to_cmms.create:
        return DriftClass.MISSING_IN_CMMS
    if plan.merged.conflicts and (to_dynamics or to_cmms):
        return DriftClass.CONFLICT
    if to_dynamics is not None or any(block.side == "cmms" for block in fresh):
        return DriftClass.CMMS_AHEAD
    if to_cmms is not None or fresh:
        return DriftClass.DYNAMICS_AHEAD
    # Nothing to write, but not yet agreed in the ledger: a resync remembers it.
    return DriftClass.CMMS_AHEAD if plan.merged.bases and not entry.bases else None
