"""What a first sync would do with one record, by the engine's own decision. Pure, no I/O."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from shared.domain.blocked import RECORD
from shared.domain.decide import Context, Plan, Snapshot, Wait, foresee
from shared.domain.decide.situation import WAITING
from shared.domain.model import NO_ROW, CmmsRecord, DynamicsRecord, Side, Value, other
from shared.domain.schema.mapping import EntityMapping
from shared.flows.operate.first_sync.choices import EntityChoices


class Kind(StrEnum):
    """How a record stands before the first sync."""

    EQUAL = "equal"
    DIFFERENT = "different"
    ONLY_IN_CMMS = "only_in_cmms"
    ONLY_IN_DYNAMICS = "only_in_dynamics"
    KEY_UNUSABLE = "key_unusable"
    KEY_DOUBLED = "key_doubled"
    KEY_NEARLY_EQUAL = "key_nearly_equal"
    HELD = "held"
    UNREADABLE = "unreadable"

    @property
    def for_a_person(self) -> bool:
        """Whether the run leaves such records out, because only a person can tell what is right."""
        return self in _FOR_A_PERSON


_FOR_A_PERSON: Final = frozenset(
    {Kind.KEY_UNUSABLE, Kind.KEY_DOUBLED, Kind.KEY_NEARLY_EQUAL, Kind.HELD, Kind.UNREADABLE}
)


WINS: Final[dict[Side, str]] = {"cmms": "the CMMS's value wins", "dynamics": "Dynamics' value wins"}
FILLED: Final[dict[Side, str]] = {"cmms": "filled in the CMMS", "dynamics": "filled in Dynamics"}
KEPT: Final = "both keep their values"


@dataclass(frozen=True)
class Change:
    """What happens to one field that differs, and what both sides hold.

    `to` is the side that is written, None where both keep their values; `loses` tells that a value is replaced.
    """

    field: str
    what: str
    cmms: Value
    dynamics: Value
    to: Side | None = None
    loses: bool = False


@dataclass(frozen=True)
class Problem:
    """What would be parked: of a field, or of the whole record (`field` is `RECORD`)."""

    field: str
    reason: str
    message: str


@dataclass(frozen=True)
class Verdict:
    """What a first sync would do with one record.

    `creates` is the side in which it is created, `updates` are those in which fields are written. `stays` tells that
    nothing is to be done, by the choices or because the row is inactive; the run leaves such a record out.
    """

    kind: Kind
    changes: tuple[Change, ...] = ()
    problems: tuple[Problem, ...] = ()
    creates: Side | None = None
    updates: tuple[Side, ...] = ()
    stays: bool = False

    @property
    def takes_part(self) -> bool:
        """Whether the run hands the record to the engine."""
        return not (self.kind.for_a_person or self.stays)


def classify(entity: EntityMapping, snapshot: Snapshot, choices: EntityChoices, now: datetime) -> Verdict:
    """Judge one record that the ledger does not know, or knows one side of.

    Args:
        entity: The record's mapping.
        snapshot: The record as the engine would see it.
        choices: The operator's.
        now: In UTC.
    """
    decision = foresee(snapshot, Context(entity, now, attempts=WAITING, prefer_fields=choices.prefer))
    if isinstance(decision, Wait):
        return Verdict(Kind.HELD, problems=(Problem(RECORD, decision.error.reason, decision.error.message),))
    problems = tuple(Problem(one.field, one.error.reason, one.error.message) for one in decision.blocked)
    # What a side refused before, and would be sent unchanged, is still parked.
    parked = snapshot.link.parked
    still = parked.keys() & (decision.still_parked if decision.decided else parked.keys())
    problems += tuple(
        Problem(name, parked[name].reason, "It was parked before, and neither side has changed it since.")
        for name in sorted(still - {problem.field for problem in problems})
    )
    if RECORD in {problem.field for problem in problems}:
        return Verdict(Kind.HELD, problems=problems)
    row = snapshot.row if snapshot.row.exists else _met(snapshot, decision)
    if not (snapshot.cmms.living and row.exists):
        return _one_sided(snapshot, decision, problems, choices)
    changes = tuple(_changes(entity, decision, snapshot.cmms, row))
    updates = tuple(write.side for write in decision.writes)
    kind = Kind.DIFFERENT if changes or updates or problems else Kind.EQUAL
    return Verdict(kind, changes, problems, updates=updates)


def agree(entity: EntityMapping, record: CmmsRecord, row: DynamicsRecord) -> bool:
    """Whether a pair without a link holds the same in every field that both say, so that a decision would only link it.

    Most pairs do, and a decision about each would take most of a plan's time.
    """
    held, shown = record.values, row.values
    return not (record.errors or row.errors) and all(
        rule.agree(held[name], shown[name]) for name, rule in entity.fields.items() if name in held and name in shown
    )


def _met(snapshot: Snapshot, plan: Plan) -> DynamicsRecord:
    """The row that the plan links the record with."""
    rows = (candidate.row for candidate in snapshot.candidates)
    return next((row for row in rows if row.id == plan.link.row_id), NO_ROW)


def _one_sided(snapshot: Snapshot, plan: Plan, problems: tuple[Problem, ...], choices: EntityChoices) -> Verdict:
    kind = Kind.ONLY_IN_CMMS if snapshot.cmms.living else Kind.ONLY_IN_DYNAMICS
    creates = next((write.side for write in plan.writes if write.creates), None)
    if creates not in choices.create_in:
        return Verdict(kind, problems=problems if creates is None else (), stays=True)
    return Verdict(kind, problems=problems, creates=creates)


def _changes(entity: EntityMapping, plan: Plan, cmms: CmmsRecord, row: DynamicsRecord) -> Iterator[Change]:
    """The fields that differ, and what becomes of each; what is blocked is among the problems instead."""
    lost = {conflict.field: conflict for conflict in plan.merged.conflicts}
    written = {name: write.side for write in plan.writes for name in write.values}
    for name in entity.rules:
        if name not in written and name not in lost:
            continue
        held = cmms.held(entity.key.name, name), row.held(entity.key.name, name)
        to = written.get(name)
        if to is None:
            yield Change(name, KEPT, *held)
        elif name in lost:
            yield Change(name, WINS[other(to)], *held, to, loses=True)
        else:
            yield Change(name, FILLED[to], *held, to)
