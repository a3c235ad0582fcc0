"""What a change of the mapping would do to the data of both sides, counted before it is deployed."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field

from shared.domain.schema.mapping import Mapping
from shared.domain.words import plural
from shared.flows.operate.check.findings import Finding, Level
from shared.flows.operate.check.tables import compare_table
from shared.flows.operate.required import mapped_columns
from shared.flows.ports.platform import Platform
from shared.flows.reconcile.report import Finding as Drifted
from shared.flows.reconcile.report import Report

EXAMPLES = 3

type Compare = Callable[[Mapping], Awaitable[Report]]
"""Compare every record of both sides under a mapping, without repairing anything."""


@dataclass
class Effect:
    """What a sync would do to one field of many records; `examples` are a key and both values each."""

    entity: str
    name: str
    what: str
    count: int = 0
    examples: list[tuple[str, str | None, str | None]] = field(default_factory=list)


@dataclass(frozen=True)
class MappingPlan:
    """`cannot` is what must be mended first; `effects` are what the new mapping causes and the present one does not."""

    compared: dict[str, int]
    cannot: tuple[Finding, ...]
    effects: tuple[Effect, ...]
    notes: tuple[str, ...] = ()

    @property
    def records(self) -> int:
        """How many changes there would be, over all fields."""
        return sum(one.count for one in self.effects)


async def plan(new: Mapping, present: Mapping | None, platform: Platform, compare: Compare) -> MappingPlan:
    """Compare under both mappings; what drifts already, and would without the change, is left out.

    `present` is None where nothing is deployed yet: then everything is an effect.

    Raises:
        SyncError: A side could not be read.
    """
    cannot = [one async for one in _cannot(new, platform)]
    if cannot:
        return MappingPlan({}, tuple(cannot), ())
    after = await compare(new)
    known = set(_facts((await compare(present)).findings)) if present is not None else set()
    fresh = [one for one in _facts(after.findings) if one not in known]
    notes = tuple(f"{one.entity}: {note}" for one in after.entities for note in one.notes)
    left_out = after.drifted - len(after.findings)
    if left_out:
        notes = (*notes, f"Not in the counts below: {plural(left_out, 'more record')} with a difference.")
    return MappingPlan({one.entity: one.compared for one in after.entities}, (), tuple(_effects(fresh)), notes)


async def _cannot(new: Mapping, platform: Platform) -> AsyncIterator[Finding]:
    for entity in new.entities.values():
        table = await platform.table(entity.table, mapped_columns(entity))
        for finding in compare_table(entity, table):
            if finding.level is Level.ERROR:
                yield finding


type _Fact = tuple[str, str, str, str, str | None, str | None]


def _facts(findings: Iterable[Drifted]) -> Iterator[_Fact]:
    for one in findings:
        for difference in one.differences:
            yield (
                one.entity, one.key, difference.field, difference.plan, difference.cmms, difference.dynamics,
            )  # fmt: skip


def _effects(facts: Iterable[_Fact]) -> Iterator[Effect]:
    found: dict[tuple[str, str, str], Effect] = {}
    for entity, key, name, what, cmms, dynamics in facts:
        effect = found.setdefault((entity, name, what), Effect(entity, name, what))
        effect.count += 1
        if len(effect.examples) < EXAMPLES:
            effect.examples.append((key, cmms, dynamics))
    yield from sorted(found.values(), key=lambda one: (one.entity, -one.count, one.name))
