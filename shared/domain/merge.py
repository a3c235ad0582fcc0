"""The three-way merge with two bases: for each field, who changed, who wins, what to write. Pure, no I/O.

Two bases, because a side may hold something else than what was written to it (Dataverse rounds money, several states
of the CMMS are one state in Dynamics): a side has changed only against what that side itself held.
"""

from collections.abc import Container, Iterable, Mapping
from copy import replace
from datetime import datetime
from types import MappingProxyType
from typing import Literal

from msgspec import Struct, field

from shared.domain.base import Base, Why
from shared.domain.blocked import Blocked, digest
from shared.domain.link import ConflictRecord
from shared.domain.model import CmmsRecord, DynamicsRecord, Record, Side, Value, other
from shared.domain.schema.fields import FieldMapping
from shared.errors import NoEffect, PermanentError, RecordClosed


class Verdict(Struct, frozen=True):
    """The outcome of one field's merge.

    `outcome`: `unchanged` and `agreed` write nothing (`agreed` renews the bases); `cmms` and `dynamics` name the side
    whose value goes to the other; `kept` leaves both as they are. `why` is set where a value loses, and `unclear` where
    it is not known whether the last write to that side had an effect.
    """

    outcome: Literal["unchanged", "agreed", "cmms", "dynamics", "kept"]
    why: Why | None = None
    unclear: Side | None = None


def judge(
    rule: FieldMapping,
    cmms: Value,
    dynamics: Value,
    base: Base | None,
    prefer: Side | None = None,
    *,
    restored: bool = False,
) -> Verdict:
    """Decide one field. The decision table stands in docs/architecture.md.

    Args:
        rule: The field's rule.
        cmms: What the CMMS holds.
        dynamics: What Dynamics holds.
        base: What both held when they last agreed; None at first contact.
        prefer: The side whose values an operator chose for first contact; None for the field's own `on_conflict`.
        restored: The side that is not preferred was restored from a backup: what differs there is no edit.

    Returns:
        The outcome, and why the losing value is recorded, if it is.

    Example: `judge(rule, "B", "A", Base(cmms="A", dynamics="A"))` is `Verdict("cmms")`.
    """
    if base is None:
        return _first_contact(rule, cmms, dynamics, prefer)
    changed: list[Side] = []
    if cmms != base.cmms:
        changed.append("cmms")
    if dynamics != base.dynamics:
        changed.append("dynamics")
    if not changed:
        return Verdict("unchanged", unclear=base.unclear)
    if rule.agree(cmms, dynamics):
        return Verdict("agreed")
    if restored and prefer is not None:
        return Verdict(prefer, "restored")
    if len(changed) > 1:
        return Verdict(rule.source or rule.on_conflict, "both_changed")
    if rule.source in {None, changed[0]}:
        return Verdict(changed[0], base.why)
    return Verdict(other(changed[0]), "one_way")


def _first_contact(rule: FieldMapping, cmms: Value, dynamics: Value, prefer: Side | None) -> Verdict:
    if rule.agree(cmms, dynamics):
        return Verdict("agreed")
    if None not in {cmms, dynamics}:
        return Verdict(rule.source or prefer or rule.on_conflict, "first_contact")
    knows = _speaker(cmms)
    # The only side that may set this field holds nothing: emptying the other side would guess that this was meant.
    return Verdict(knows) if rule.source in {None, knows} else Verdict("kept", "first_contact")


def _speaker(cmms: Value) -> Side:
    """The side that holds a value, where just one of both does."""
    return "dynamics" if cmms is None else "cmms"


class FieldWrite(Struct, frozen=True):
    """A value for one side, in that side's normal form.

    `source` is what the other side holds, `before` what the written side holds.
    """

    field: str
    side: Side
    value: Value
    source: Value
    before: Value


class Merged(Struct, frozen=True):
    """The outcome for one record: bases to remember, writes to do, losers to record, fields to park."""

    bases: Mapping[str, Base] = field(default_factory=dict)
    writes: tuple[FieldWrite, ...] = ()
    conflicts: tuple[ConflictRecord, ...] = ()
    blocked: tuple[Blocked, ...] = ()

    def to(self, side: Side) -> tuple[FieldWrite, ...]:
        """The writes for one side."""
        return tuple(write for write in self.writes if write.side == side)

    @property
    def unsettled(self) -> frozenset[str]:
        """The fields that are to be written or parked."""
        return frozenset([one.field for one in self.writes] + [one.field for one in self.blocked])

    def without(self, fields: Container[str]) -> "Merged":
        """The outcome without what is to be written, recorded or parked of these fields."""
        return Merged(
            self.bases,
            _of_others(fields, self.writes),
            _of_others(fields, self.conflicts),
            _of_others(fields, self.blocked),
        )

    def parking(self, blocked: Iterable[Blocked]) -> "Merged":
        """The outcome with these fields parked, and nothing else done about them."""
        stopped = {block.field: block for block in blocked}
        rest = self.without(stopped)
        return replace(rest, blocked=(*rest.blocked, *stopped.values()))


def _of_others[T: (FieldWrite, ConflictRecord, Blocked)](fields: Container[str], items: Iterable[T]) -> tuple[T, ...]:
    """The items that concern other fields than these."""
    return tuple(one for one in items if one.field not in fields)


def merge(
    rules: Iterable[FieldMapping],
    cmms: CmmsRecord,
    row: DynamicsRecord,
    bases: Mapping[str, Base],
    now: datetime,
    *,
    key: str,
    prefer: Side | None = None,
    prefer_fields: Mapping[str, Side] = MappingProxyType({}),
    restored: bool = False,
) -> Merged:
    """Merge a record and its row, field by field, in the order of the rules.

    A field that one side does not say, or whose value is unreadable, is neither a change nor an agreement. `key` names
    the business key's field. `prefer` and `restored` are those of `judge`; `prefer_fields` names by field what counts
    before `prefer`.
    """
    merger = _Merger(row.is_open, now)
    said, held = cmms.content(key), row.content(key)
    for rule in rules:
        name = rule.name
        merger.unreadable(name, ("cmms", cmms), ("dynamics", row))
        if name in said and name in held:
            side = prefer_fields.get(name, prefer)
            verdict = judge(rule, said[name], held[name], bases.get(name), side, restored=restored)
            merger.field(rule, {"cmms": said[name], "dynamics": held[name]}, verdict)
    return Merged(merger.bases, tuple(merger.writes), tuple(merger.conflicts), tuple(merger.blocked))


class _Merger:
    """Collects the outcomes of one record's fields."""

    def __init__(self, is_open: bool, now: datetime) -> None:
        self._is_open = is_open
        self._now = now
        self.bases: dict[str, Base] = {}
        self.writes: list[FieldWrite] = []
        self.conflicts: list[ConflictRecord] = []
        self.blocked: list[Blocked] = []

    def unreadable(self, name: str, *sides: tuple[Side, Record]) -> None:
        """Block a field whose value on a side its rule refuses: for the first such side, as a field is parked once."""
        for side, record in sides:
            if (bad := record.errors.get(name)) is not None:
                self.blocked.append(Blocked(name, side, bad.digest, bad.error))
                break

    def field(self, rule: FieldMapping, held: dict[Side, Value], verdict: Verdict) -> None:
        """Add the outcome of a field of which the sides hold these values."""
        match verdict.outcome:
            case "unchanged":
                if verdict.unclear is not None:
                    self.blocked.append(_unclear(rule.name, verdict.unclear, held))
            case "agreed":
                self._agree(rule, held)
            case "kept":
                # Without a base, so that the kept value is recorded as the loser once the other side speaks.
                self._lose(rule, _speaker(held["cmms"]), held, verdict.why)
            case winner:
                self._carry(rule, winner, held, verdict.why)

    def _carry(self, rule: FieldMapping, winner: Side, held: dict[Side, Value], why: Why | None) -> None:
        target = other(winner)
        if target == "dynamics" and rule.create_only:
            self._agree(rule, held)
            self._lose(rule, "dynamics", held, "create_only")
            return
        try:
            value = rule.translate(held[winner], target)
            self._check_open(rule, target)
        except PermanentError as error:
            self.blocked.append(Blocked(rule.name, winner, digest(held[winner]), error))
            return
        self.writes.append(FieldWrite(rule.name, target, value, held[winner], held[target]))
        self._lose(rule, winner, held, why)

    def _check_open(self, rule: FieldMapping, target: Side) -> None:
        if target == "dynamics" and not self._is_open and rule.state_column is None:
            raise RecordClosed(
                f"{rule.name}: the Dynamics row is closed and refuses edits. Reopen the row there and replay this"
                " message, or discard the message.",
                field=rule.name,
            )

    def _agree(self, rule: FieldMapping, held: dict[Side, Value]) -> None:
        self.bases[rule.name] = Base.of(held, rule.fingerprint)

    def _lose(self, rule: FieldMapping, winner: Side, held: dict[Side, Value], why: Why | None) -> None:
        if why is not None:
            won, lost = held[winner], held[other(winner)]
            self.conflicts.append(
                ConflictRecord(field=rule.name, winner=winner, won=won, lost=lost, why=why, at=self._now)
            )


def _unclear(name: str, written: Side, held: Mapping[Side, Value]) -> Blocked:
    names = {"dynamics": "Dynamics", "cmms": "the CMMS"}
    error = NoEffect(
        f"{name}: the answer to a write was lost, {names[written]} still holds the value of before it, and somebody"
        " has edited the same row or record since. Either the write had no effect, or that person put the old value"
        " back. Give the field its value on either side; or replay this message to have the value of"
        f" {names[other(written)]} written again, with the other one on record.",
        field=name,
    )
    return Blocked(name, other(written), digest((held["cmms"], held["dynamics"])), error)
