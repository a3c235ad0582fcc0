"""The classes of drift, and what of a record drifted, decided by the engine's own decision."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from shared.domain.blocked import RECORD, Blocked
from shared.domain.decide import Context, Plan, Snapshot, Wait, foresee
from shared.domain.decide.situation import WAITING
from shared.domain.decide.trust import ledger_is_behind
from shared.domain.model import Record, Value
from shared.domain.schema.fields import FieldMapping
from shared.domain.schema.mapping import EntityMapping
from shared.domain.write import Write
from shared.errors import KeyNotUsable, NoEffect, RecordGone, RowReplaced, WentBack


class DriftClass(StrEnum):
    """How a record differs."""

    CMMS_AHEAD = "cmms_ahead"
    DYNAMICS_AHEAD = "dynamics_ahead"
    CONFLICT = "conflict"
    MISSING_IN_DYNAMICS = "missing_in_dynamics"
    MISSING_IN_CMMS = "missing_in_cmms"
    MAPPING_CHANGED = "mapping_changed"
    LEDGER_BEHIND = "ledger_behind"
    GONE_FROM_DYNAMICS = "gone_from_dynamics"
    ROW_REPLACED = "row_replaced"
    WENT_BACK = "went_back"
    UNREADABLE_COLUMN = "unreadable_column"
    NO_EFFECT = "no_effect"
    NOT_CREATED = "not_created"
    DUPLICATE_KEY = "duplicate_key"

    @property
    def repairable(self) -> bool:
        """Whether a resync may repair it; the others need a person, and are only reported."""
        stays = {DriftClass.UNREADABLE_COLUMN, DriftClass.NO_EFFECT, DriftClass.NOT_CREATED}
        return self not in {*_FOR_A_PERSON.values(), *stays}


_FOR_A_PERSON: Final = {
    RecordGone.reason: DriftClass.GONE_FROM_DYNAMICS,
    RowReplaced.reason: DriftClass.ROW_REPLACED,
    WentBack.reason: DriftClass.WENT_BACK,
    KeyNotUsable.reason: DriftClass.DUPLICATE_KEY,
}


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


type Assessment = Drift | Literal["unremembered", "in_flight"] | None


def assess(
    entity: EntityMapping, snapshot: Snapshot, now: datetime, insists_on: frozenset[str] = frozenset()
) -> Assessment:
    """Judge one record; what was parked for one of the reasons `insists_on` is sent again.

    Returns:
        The record's drift; "in_flight" while a write is under way; "unremembered" where the sides agree and only the
        ledger does not know it yet, so that the next edit would look like a conflict; None where a sync would do
        nothing. What was parked for the same value is known, and no drift; but for what has no effect, may not be
        read, or kept a side without the record: of these the sides stay apart, or nobody can tell.
    """
    plan = foresee(snapshot, Context(entity, now, attempts=WAITING, insists_on=insists_on))
    if isinstance(plan, Wait):
        return "in_flight"
    kind = _kind(entity, snapshot, plan)
    if kind is not None:
        return Drift(kind, tuple(differences(entity, plan, snapshot)))
    if not plan.blocked and not plan.link.same_as(snapshot.stored.link):
        return "unremembered"
    return _not_created(snapshot) or _stays_apart(entity, snapshot, plan) or _unreadable(entity, snapshot)


def _not_created(snapshot: Snapshot) -> Drift | None:
    """The record as a whole, where one side has it, and what would create it on the other is parked."""
    parked, cmms, row = snapshot.link.parked, snapshot.cmms, snapshot.row
    if not parked or cmms.deleted or cmms.exists == row.exists:
        return None
    causes = ", ".join(sorted({one.reason for one in parked.values()}))
    plan = f"nothing: it is parked ({causes})"
    return Drift(DriftClass.NOT_CREATED, (Difference(RECORD, _present(cmms), _present(row), "", plan),))


def _stays_apart(entity: EntityMapping, snapshot: Snapshot, plan: Plan) -> Drift | None:
    """The fields of which a side took a write and still holds what it held before."""
    parked = snapshot.link.parked
    idle = sorted(name for name in plan.still_parked & entity.rules.keys() if parked[name].reason == NoEffect.reason)
    found = [_difference(entity, snapshot, name, "parked: a write of it has no effect") for name in idle]
    return Drift(DriftClass.NO_EFFECT, tuple(found)) if found else None


def _unreadable(entity: EntityMapping, snapshot: Snapshot) -> Drift | None:
    """The fields that Dynamics no longer says, although it held a value when both sides last agreed."""
    row = snapshot.row
    bases = snapshot.link.bases if row.exists else {}
    hidden = sorted(
        name
        for name, base in bases.items()
        if name in entity.fields and base.dynamics is not None and name not in {*row.values, *row.errors}
    )
    found = [_difference(entity, snapshot, name, "left as it is: our user may not read the column") for name in hidden]
    return Drift(DriftClass.UNREADABLE_COLUMN, tuple(found)) if found else None


def _kind(entity: EntityMapping, snapshot: Snapshot, plan: Plan) -> DriftClass | None:
    for block in plan.blocked:
        if block.field == RECORD and block.error.reason in _FOR_A_PERSON:
            return _FOR_A_PERSON[block.error.reason]
    fresh = [block for block in plan.blocked if not block.is_parked(snapshot.link)]
    if not plan.writes:
        return _blocked(snapshot, fresh) if fresh else None
    if _lets_go_first(plan, snapshot):
        return DriftClass.MISSING_IN_DYNAMICS
    if creates := [write for write in plan.writes if write.creates]:
        missing = {"dynamics": DriftClass.MISSING_IN_DYNAMICS, "cmms": DriftClass.MISSING_IN_CMMS}
        return missing[creates[0].side]
    if ledger_is_behind(snapshot):
        return DriftClass.LEDGER_BEHIND
    if _under_another_rule(entity, snapshot, plan.writes):
        return DriftClass.MAPPING_CHANGED
    if plan.merged.conflicts:
        return DriftClass.CONFLICT
    return DriftClass.CMMS_AHEAD if plan.to_dynamics is not None else DriftClass.DYNAMICS_AHEAD


def _lets_go_first(plan: Plan, snapshot: Snapshot) -> bool:
    """Whether another record's row gives up its key, which the record needs for a row: no look at that row does so."""
    return plan.stored is not snapshot.stored


def _blocked(snapshot: Snapshot, fresh: list[Blocked]) -> DriftClass:
    if not snapshot.cmms.exists:
        return DriftClass.MISSING_IN_CMMS
    ahead = any(block.side == "cmms" for block in fresh)
    return DriftClass.CMMS_AHEAD if ahead else DriftClass.DYNAMICS_AHEAD


def _under_another_rule(entity: EntityMapping, snapshot: Snapshot, writes: tuple[Write, ...]) -> bool:
    bases = snapshot.link.bases
    written = {name for write in writes for name in write.values} & bases.keys()
    return any(bases[name].rule != entity.rules[name].fingerprint for name in written)


def rule_of(rule: FieldMapping) -> str:
    """A field's rule in words."""
    match rule.source:
        case "cmms":
            return "the CMMS decides" + (", on creation only" if rule.create_only else "")
        case "dynamics":
            return "Dynamics decides"
        case None:
            return f"both may change it; in a conflict {'the CMMS' if rule.on_conflict == 'cmms' else 'Dynamics'} wins"


def differences(entity: EntityMapping, plan: Plan, snapshot: Snapshot) -> Iterator[Difference]:
    """What a plan does, field by field, with what both sides hold; or one line for the record as a whole."""
    cmms, row = snapshot.cmms, snapshot.row
    planned = _planned(plan)
    of_all = [block.error.message for block in plan.blocked if block.field == RECORD] or whole(plan)
    if _lets_go_first(plan, snapshot):
        of_all = ["created in Dynamics, once another record's row has given up its key"]
    if of_all:
        yield Difference(RECORD, _present(cmms), _present(row), "", of_all[0])
        return
    for name, what in planned.items():
        yield _difference(entity, snapshot, name, what)


def _difference(entity: EntityMapping, snapshot: Snapshot, name: str, what: str) -> Difference:
    held = [side.held(entity.key.name, name) for side in (snapshot.cmms, snapshot.row)]
    return Difference(name, held[0], held[1], rule_of(entity.rules[name]), what)


def whole(plan: Plan) -> list[str]:
    """What a plan does to the record as a whole, in a sentence for a person; nothing where it only changes fields."""
    if plan.to_dynamics is not None and plan.to_dynamics.creates:
        return ["created in Dynamics"]
    if plan.to_cmms is not None and plan.to_cmms.creates:
        return ["created in the CMMS"]
    if plan.to_dynamics is not None and plan.to_dynamics.state is not None and not plan.to_dynamics.values:
        return ["the row's state is set in Dynamics, as the record was deleted or created again in the CMMS"]
    return []


def _planned(plan: Plan) -> dict[str, str]:
    lost = {conflict.field for conflict in plan.merged.conflicts}
    where = {"dynamics": "written to Dynamics", "cmms": "written to the CMMS"}
    found = {
        name: where[write.side] + (", the other value recorded" if name in lost else "")
        for write in plan.writes
        for name in write.values
    }
    return found | {block.field: block.error.message for block in plan.blocked}


def _present(record: Record) -> str:
    return "present" if record.exists else "absent"
