"""The three-way merge with two bases: for each field, who changed, who wins, what to write. Pure, no I/O.

Two bases, because a side may hold something else than what was written to it (Dataverse rounds money, several
states of the CMMS are one state in Dynamics): a side has changed only against what it itself held.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256

from shared.domain.ledger import Base, ConflictRecord, ParkedField, Why
from shared.domain.model import CmmsRecord, DynamicsRecord, Side, Value
from shared.domain.schema.fields import FieldMapping
from shared.domain.schema.mapping import EntityMapping
from shared.errors import PermanentError, RecordClosed


def digest(value: object) -> str:
    """Recognise a value again without keeping it."""
    return sha256(repr(value).encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True)
class Write:
    """A value for one side, in that side's normal form; `source` is what the other side holds."""

    field: str
    side: Side
    value: Value
    source: Value


@dataclass(frozen=True)
class Blocked:
    """A field that cannot proceed. The rest of its record does."""

    field: str
    side: Side
    digest: str
    error: PermanentError

    def same_as(self, parked: ParkedField | None) -> bool:
        """Whether this very value was parked before."""
        return parked is not None and (parked.side, parked.digest) == (self.side, self.digest)


@dataclass(frozen=True)
class Merged:
    """The outcome for one record: bases to remember, writes to do, losers to record, fields to park."""

    bases: Mapping[str, Base] = field(default_factory=dict)
    writes: tuple[Write, ...] = ()
    conflicts: tuple[ConflictRecord, ...] = ()
    blocked: tuple[Blocked, ...] = ()

    def to(self, side: Side) -> tuple[Write, ...]:
        """The writes for one side."""
        return tuple(write for write in self.writes if write.side == side)


def merge(
    entity: EntityMapping,
    cmms: CmmsRecord,
    dynamics: DynamicsRecord,
    bases: Mapping[str, Base],
    now: datetime,
) -> Merged:
    """Merge two existing records, field by field, in the mapping's order. Deterministic."""
    merger = _Merger(dynamics.is_open, now)
    for rule in entity.fields.values():
        if problem := cmms.errors.get(rule.name):
            merger.blocked.append(Blocked(rule.name, "cmms", problem.digest, problem.error))
        if problem := dynamics.errors.get(rule.name):
            merger.blocked.append(Blocked(rule.name, "dynamics", problem.digest, problem.error))
        if rule.name not in cmms.values or rule.name not in dynamics.values:
            continue  # not said, or not readable: neither a change nor an agreement
        merger.field(rule, cmms.values[rule.name], dynamics.values[rule.name], bases.get(rule.name))
    return Merged(merger.bases, tuple(merger.writes), tuple(merger.conflicts), tuple(merger.blocked))


def record_replaced(merged: Merged, row: DynamicsRecord, why: Why, now: datetime) -> Merged:
    """The same, with every value on record that a write to the row replaces and no conflict names yet."""
    named = {conflict.field for conflict in merged.conflicts}
    replaced = tuple(
        ConflictRecord(
            field=write.field, winner="cmms", won=write.source, lost=row.values[write.field], why=why, at=now
        )
        for write in merged.to("dynamics")
        if write.field not in named
    )
    return replace(merged, conflicts=(*merged.conflicts, *replaced))


class _Merger:
    def __init__(self, is_open: bool, now: datetime) -> None:
        self._is_open = is_open
        self._now = now
        self.bases: dict[str, Base] = {}
        self.writes: list[Write] = []
        self.conflicts: list[ConflictRecord] = []
        self.blocked: list[Blocked] = []

    def field(self, rule: FieldMapping, cmms: Value, dynamics: Value, base: Base | None) -> None:
        cmms_changed = base is None or cmms != base.cmms
        dynamics_changed = base is None or dynamics != base.dynamics
        if not cmms_changed and not dynamics_changed:
            return
        if rule.agree(cmms, dynamics):
            self.bases[rule.name] = Base(cmms=cmms, dynamics=dynamics)
        elif base is None and (cmms is None or dynamics is None):
            self._only_one_knows(rule, cmms, dynamics)
        elif cmms_changed and dynamics_changed:
            winner = rule.source or rule.on_conflict
            self._win(rule, winner, cmms, dynamics, "first_contact" if base is None else "both_changed")
        else:
            changed: Side = "cmms" if cmms_changed else "dynamics"
            if rule.source in {None, changed}:
                self._win(rule, changed, cmms, dynamics, None)
            else:
                self._win(rule, rule.source, cmms, dynamics, "one_way")

    def _only_one_knows(self, rule: FieldMapping, cmms: Value, dynamics: Value) -> None:
        knows: Side = "dynamics" if cmms is None else "cmms"
        if rule.source in {None, knows}:
            self._win(rule, knows, cmms, dynamics, None)
        else:
            # The one side that may say this field says nothing, and the other holds a value: emptying it on first
            # contact would guess that nothing was meant. Both keep what they have until the source speaks; without a
            # base, so that the value is then recorded as the loser.
            kept, other = (cmms, dynamics) if knows == "cmms" else (dynamics, cmms)
            self._record(rule, knows, kept, other, "first_contact")

    def _win(self, rule: FieldMapping, winner: Side, cmms: Value, dynamics: Value, why: Why | None) -> None:
        source, target = (cmms, dynamics) if winner == "cmms" else (dynamics, cmms)
        target_side: Side = "dynamics" if winner == "cmms" else "cmms"
        if target_side == "dynamics" and rule.create_only:
            self._keep(rule, "dynamics", cmms, dynamics, "create_only")
            return
        try:
            value = rule.to_dynamics(source) if winner == "cmms" else rule.to_cmms(source)
            if target_side == "dynamics" and not self._is_open and rule.state_column is None and value != target:
                raise RecordClosed(
                    f"{rule.name}: the Dynamics row is closed and refuses edits. Reopen it there and replay this"
                    " message, or discard it.",
                    field=rule.name,
                )
        except PermanentError as error:
            self.blocked.append(Blocked(rule.name, winner, digest(source), error))
            return
        if value == target:
            self.bases[rule.name] = Base(cmms=cmms, dynamics=dynamics)
        else:
            self.writes.append(Write(rule.name, target_side, value, source))
        if why is not None and value != target:
            self._record(rule, winner, source, target, why)

    def _keep(self, rule: FieldMapping, keeper: Side, cmms: Value, dynamics: Value, why: Why) -> None:
        """Leave both as they are, remember that, and record the value that did not travel."""
        self.bases[rule.name] = Base(cmms=cmms, dynamics=dynamics)
        kept, other = (cmms, dynamics) if keeper == "cmms" else (dynamics, cmms)
        self._record(rule, keeper, kept, other, why)

    def _record(self, rule: FieldMapping, winner: Side, won: Value, lost: Value, why: Why) -> None:
        self.conflicts.append(ConflictRecord(field=rule.name, winner=winner, won=won, lost=lost, why=why, at=self._now))
