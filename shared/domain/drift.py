"""The classes of drift, and what of a record drifted, decided by the engine's own plan."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from shared.domain.ledger import Entry
from shared.domain.merge import digest
from shared.domain.model import Value
from shared.domain.plan import Plan, Sides, SideWrite, decide
from shared.domain.schema.fields import FieldMapping
from shared.domain.schema.mapping import EntityMapping
from shared.errors import KeyNotUsable, RecordGone

WHOLE: Final = "*"
"""The pseudo-field of a difference that is the whole record's."""


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


@dataclass(frozen=True)
class Difference:
    """One field on both sides. `rule` is the field's rule in words, `plan` what a sync would do about it."""

    field: str
    cmms: Value
    dynamics: Value
    rule: str
    plan: str


@dataclass(frozen=True)
class Drift:
    """How one record drifted."""

    kind: DriftClass
    differences: tuple[Difference, ...]


type Assessment = Drift | Literal["unremembered"] | None


def assess(entity: EntityMapping, entry: Entry, sides: Sides, now: datetime) -> Assessment:
    """A record's drift, or None where a sync would do nothing.

    "unremembered": the sides agree, and only the ledger does not know it yet. That is no drift, but until a sync has
    remembered it, the next edit on either side would look like a conflict. A field that is blocked and was parked for
    the same value is known, and no drift.
    """
    plan = decide(entity, entry, sides, now)
    kind = _kind(entry, sides, plan)
    if kind is None:
        return "unremembered" if plan.merged.bases else None
    return Drift(kind, tuple(_differences(entity, plan, sides)))


def _kind(entry: Entry, sides: Sides, plan: Plan) -> DriftClass | None:
    for block in plan.blocked:
        if isinstance(block.error, RecordGone):
            return DriftClass.GONE_FROM_DYNAMICS
        if isinstance(block.error, KeyNotUsable):
            return DriftClass.DUPLICATE_KEY
    fresh = [block for block in plan.blocked if not block.same_as(entry.parked.get(block.field))]
    to_dynamics, to_cmms = _news(entry, plan.to_dynamics), _news(entry, plan.to_cmms)
    if to_dynamics is not None and to_dynamics.create:
        return DriftClass.MISSING_IN_DYNAMICS
    if sides.cmms is None and (to_dynamics is not None or to_cmms is not None or fresh):
        return DriftClass.MISSING_IN_CMMS
    if plan.merged.conflicts and (to_dynamics or to_cmms):
        return DriftClass.CONFLICT
    if to_dynamics is not None or any(block.side == "cmms" for block in fresh):
        return DriftClass.CMMS_AHEAD
    return DriftClass.DYNAMICS_AHEAD if to_cmms is not None or fresh else None


def _news(entry: Entry, write: SideWrite | None) -> SideWrite | None:
    """A write, unless all of it was refused and parked before: repeating it would only be refused again."""
    if write is None or write.restore_key or write.state is not None:
        return write
    whole = entry.parked.get(WHOLE)
    if whole is not None and whole.digest == write.digest:
        return None
    known = [
        name
        for name, source in write.sources.items()
        if (parked := entry.parked.get(name)) is not None and parked.digest == digest(source)
    ]
    return None if not write.create and len(known) == len(write.sources) else write


def rule_of(rule: FieldMapping) -> str:
    """A field's rule in words."""
    match rule.source:
        case "cmms":
            return "the CMMS decides" + (", on creation only" if rule.create_only else "")
        case "dynamics":
            return "Dynamics decides"
        case None:
            return f"both may change it; in a conflict {'the CMMS' if rule.on_conflict == 'cmms' else 'Dynamics'} wins"


def _differences(entity: EntityMapping, plan: Plan, sides: Sides) -> Iterator[Difference]:
    cmms = sides.cmms.values if sides.cmms is not None else {}
    row = plan.row or sides.bound or next(iter(sides.rows), None)
    dynamics = row.values if row is not None else {}
    for block in plan.blocked:
        if block.field not in entity.fields:
            yield Difference(WHOLE, _present(sides.cmms), _present(row), "", block.error.message)
            return
    whole = _whole(plan)
    if whole:
        yield Difference(WHOLE, _present(sides.cmms), _present(row), "", whole)
        return
    for name, what in _planned(plan).items():
        rule = entity.fields[name]
        yield Difference(name, cmms.get(name), dynamics.get(name), rule_of(rule), what)
    if plan.to_dynamics is not None and plan.to_dynamics.restore_key and row is not None:
        yield Difference(entity.key.name, plan.entry.key, row.key, "the key is the CMMS's", "restored in Dynamics")


def _whole(plan: Plan) -> str:
    if plan.to_dynamics is not None and plan.to_dynamics.create:
        return "created in Dynamics"
    if plan.to_cmms is not None and plan.to_cmms.create:
        return "created in the CMMS"
    if plan.to_dynamics is not None and plan.to_dynamics.state is not None and not plan.to_dynamics.values:
        return "the row's state is set in Dynamics, as the record was deleted or created again in the CMMS"
    return ""


def _planned(plan: Plan) -> dict[str, str]:
    lost = {conflict.field: conflict.winner for conflict in plan.merged.conflicts}
    found: dict[str, str] = {}
    for write in plan.merged.writes:
        what = "written to Dynamics" if write.side == "dynamics" else "written to the CMMS"
        found[write.field] = what + (", the other value recorded" if write.field in lost else "")
    for block in plan.blocked:
        found[block.field] = block.error.message
    return found


def _present(record: object) -> str:
    return "absent" if record is None else "present"
