"""A first sync's plan for one entity: counts by how the records stand, with examples of each."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from shared.domain.blocked import RECORD
from shared.domain.model import Side, Value
from shared.flows.operate.check.findings import Finding
from shared.flows.operate.first_sync.classify import Kind, Problem, Verdict

EXAMPLES: Final = 100
"""Examples that are kept of each group; the counts are always complete."""
_NUMBER: Final = re.compile(r"\d+")

type Example = tuple[str, Value, Value]
"""A record's key, and what the CMMS and Dynamics hold."""


@dataclass
class Difference:
    """One field that differs in many records, and what becomes of it."""

    name: str
    what: str
    loses: bool
    count: int = 0
    examples: list[Example] = field(default_factory=list)


@dataclass
class Trouble:
    """What would be parked or left out, for one reason, in many records; `examples` are keys with what is wrong."""

    kind: Kind
    name: str
    reason: str
    message: str
    count: int = 0
    examples: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Alone:
    """Records that only one side has, and what becomes of them."""

    kind: Kind
    stays: bool
    count: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class EntityPlan:
    """One entity's part of a plan.

    `records` and `rows` are all that the sides hold, `linked_records` and `linked_rows` those that the ledger knows as
    pairs. `kinds` counts all others. `messages` are handed to the engine. `creates` and `updates` are records written,
    by the side that is written. `closed` counts rows whose state refuses edits, `changed` what was changed since the
    plan that this one is compared with. `cannot` is what must be mended before anything can be synchronized.
    """

    entity: str
    records: int = 0
    rows: int = 0
    linked_records: int = 0
    linked_rows: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    messages: int = 0
    creates: Counter[Side] = field(default_factory=Counter)
    updates: Counter[Side] = field(default_factory=Counter)
    closed: int = 0
    changed: int = 0
    differences: dict[tuple[str, str], Difference] = field(default_factory=dict)
    troubles: dict[tuple[Kind, str, str, str], Trouble] = field(default_factory=dict)
    alone: dict[tuple[Kind, bool], Alone] = field(default_factory=dict)
    cannot: tuple[Finding, ...] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def for_a_person(self) -> int:
        """The records that the run leaves out, because only a person can tell what is right."""
        return sum(count for kind, count in self.kinds.items() if kind.for_a_person)

    @property
    def parked(self) -> int:
        """The fields that would be parked; the rest of their records goes on."""
        return sum(one.count for one in self.troubles.values() if not one.kind.for_a_person)

    @property
    def replaced(self) -> int:
        """The values that would be replaced, each on record."""
        return sum(one.count for one in self.differences.values() if one.loses)

    def add(self, key: str, verdict: Verdict) -> None:
        """Count one record."""
        self.kinds[verdict.kind] += 1
        self.messages += verdict.takes_part
        if verdict.creates is not None:
            self.creates[verdict.creates] += 1
        self.updates.update(verdict.updates)
        for change in verdict.changes:
            known = self.differences.setdefault(
                (change.field, change.what), Difference(change.field, change.what, change.loses)
            )
            known.count += 1
            _keep(known.examples, (key, change.cmms, change.dynamics))
        for problem in verdict.problems:
            self.trouble(verdict.kind, problem, key)
        if verdict.kind in {Kind.ONLY_IN_CMMS, Kind.ONLY_IN_DYNAMICS}:
            alone = self.alone.setdefault((verdict.kind, verdict.stays), Alone(verdict.kind, verdict.stays))
            alone.count += 1
            _keep(alone.examples, key)

    def trouble(self, kind: Kind, problem: Problem, key: str, count: int = 1) -> None:
        """Count what would be parked or left out; messages that differ only in numbers are one group."""
        alike = _NUMBER.sub("#", problem.message) if problem.field != RECORD and not kind.for_a_person else ""
        known = self.troubles.setdefault(
            (kind, problem.field, problem.reason, alike), Trouble(kind, problem.field, problem.reason, problem.message)
        )
        known.count += count
        _keep(known.examples, (key, problem.message))


def _keep[T](examples: list[T], example: T) -> None:
    if len(examples) < EXAMPLES:
        examples.append(example)


def total(plans: Iterable[EntityPlan], name: str) -> int:
    """A count over all entities."""
    return sum(int(getattr(one, name)) for one in plans)
