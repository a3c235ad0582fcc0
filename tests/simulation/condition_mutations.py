"""Engines that trust their memory whatever became of the systems since: each forgets one condition of rule 7."""

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import replace
from datetime import datetime
from typing import Any, Final

from shared.domain.decide import Decision, Plan, Snapshot
from shared.domain.model import Record
from shared.domain.schema.mapping import EntityMapping
from shared.domain.write import Intent
from shared.flows.ports.engine import Cmms, Dynamics, Failed, Ledger
from shared.flows.reconcile import BrakeState
from shared.flows.sync import Sync
from shared.flows.sync.mass_clear import Planned
from shared.flows.sync.work import Work
from tests.simulation.choice_mutations import CHOICE_MUTATIONS
from tests.simulation.first_sync import FIRST_SYNC
from tests.simulation.worker import Parts

BRAKE: Final = "reconcile/brake"


class Like:
    """Everything that is not overridden goes to the real part."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class Readable(Like):
    """Takes each column for one that our user may read."""

    async def unreadable(self, entity: EntityMapping) -> frozenset[str]:
        return frozenset()


class Effective(Like):
    """Takes what was written for what the side holds since, unless it was rounded."""

    async def write(
        self, entity: EntityMapping, writes: Sequence[Intent], deadline: float
    ) -> Sequence[Record | Failed]:
        results = await self._real.write(entity, writes, deadline)
        return [
            one if isinstance(one, Failed) or write.creates else _as_written(write, one)
            for write, one in zip(writes, results, strict=True)
        ]


def _as_written(write: Intent, record: Record) -> Record:
    held = {name: value for name, value in write.values.items() if record.values.get(name) == write.before.get(name)}
    return replace(record, values={**record.values, **held})


class Released(Like):
    """Has a brake that an operator always released before."""

    async def get_state(self, names: Collection[str]) -> Mapping[str, str]:
        found = dict(await self._real.get_state(names))
        if BRAKE in names:
            state = BrakeState.model_validate({**_HELD, "allowance": 10_000, "released_by": "nobody"})
            found[BRAKE] = state.model_dump_json()
        return found


_HELD: Final = {"held": 10_000, "ledger_rows": 0, "since": "2026-03-01T08:00:00Z"}


def like[T](kind: type[Like]) -> Callable[[T], T]:
    """The part behind a mutation of it."""

    def part(real: T) -> T:
        return kind(real)  # type: ignore[return-value]

    return part


type Trusting = Callable[[EntityMapping, Snapshot], Snapshot]


def _any_rule(entity: EntityMapping, taken: Snapshot) -> Snapshot:
    """Bases count whatever rule they were taken under."""
    bases = {
        name: base.model_copy(update={"rule": entity.rules[name].fingerprint})
        for name, base in taken.link.bases.items()
        if name in entity.rules
    }
    return replace(taken, link=taken.link.model_copy(update={"bases": bases}))


def _any_age(entity: EntityMapping, taken: Snapshot) -> Snapshot:
    """Neither side's version was ever seen before."""
    update: dict[str, object] = {"row_version": None, "cmms_version": None}
    if taken.cmms.last_operation is not None:
        update["operation"] = taken.cmms.last_operation
    return replace(taken, link=taken.link.model_copy(update={"seen": taken.link.seen.model_copy(update=update)}))


def _any_side(_entity: EntityMapping, taken: Snapshot) -> Snapshot:
    """What a restore took back of other rows and records says nothing of this one."""
    return replace(taken, restored={})


def _any_operation(entity: EntityMapping, taken: Snapshot) -> Snapshot:
    """What a side shows was always written by a write that the link knows."""
    update = {"stamp": taken.row.last_operation, "operation": taken.cmms.last_operation}
    return replace(taken, link=taken.link.model_copy(update={"seen": taken.link.seen.model_copy(update=update)}))


def _any_currency(entity: EntityMapping, taken: Snapshot) -> Snapshot:
    """Figures were always agreed in the currency that the row has now."""
    seen = taken.link.seen.model_copy(update={"currency": taken.row.currency})
    return replace(taken, link=taken.link.model_copy(update={"seen": seen}))


def _trusting(trust: Trusting) -> Callable[[], Parts]:
    class Mutant(Sync):
        def _decide(self, entity: EntityMapping, work: Work, snapshot: Snapshot, now: datetime) -> Decision:
            return super()._decide(entity, work, trust(entity, snapshot), now)

    return lambda: Parts(sync=Mutant)


class _Unbraked(Sync):
    """Empties whatever it is told to, in however many records."""

    def _without_masses(
        self, entity: EntityMapping, planned: Sequence[Planned], now: datetime
    ) -> list[tuple[Work, Plan]]:
        return [(work, plan) for work, _, plan in planned]


def _dynamics(kind: type[Like]) -> Callable[[], Parts]:
    dynamics: Callable[[Dynamics], Dynamics] = like(kind)
    return lambda: Parts(dynamics=dynamics)


def _sides(kind: type[Like]) -> Callable[[], Parts]:
    dynamics: Callable[[Dynamics], Dynamics] = like(kind)
    cmms: Callable[[Cmms], Cmms] = like(kind)
    return lambda: Parts(dynamics=dynamics, cmms=cmms)


def _ledger(kind: type[Like]) -> Callable[[], Parts]:
    ledger: Callable[[Ledger], Ledger] = like(kind)
    return lambda: Parts(ledger=ledger)


CONDITION_MUTATIONS: Final[dict[str, tuple[Callable[[], Parts], tuple[str, ...]]]] = {
    "bases count under any mapping": (_trusting(_any_rule), ("mapping",)),
    "a secured column's null is an edit": (_dynamics(Readable), ("secured",)),
    "a write without effect counts as done": (_sides(Effective), ("idle",)),
    "a stale read is an edit": (_trusting(_any_age), ()),
    "a restored Dynamics is an edit": (_trusting(_any_age), ("dynamics restored",)),
    "a row edited since a restore is as new as its version": (_trusting(_any_side), ("dynamics restored",)),
    "a record edited since a restore is as new as its version": (_trusting(_any_side), ("cmms restored",)),
    "a restored CMMS is an edit": (_trusting(_any_age), ("cmms restored",)),
    "a restored ledger is believed": (_trusting(_any_operation), ("ledger restored",)),
    "a figure travels in any currency": (_trusting(_any_currency), ("currency",)),
    "a mass of clears is written": (lambda: Parts(sync=_Unbraked), ("mass",)),
    "the brake never holds": (_ledger(Released), ("brake",)),
    **{name: (parts, (FIRST_SYNC,)) for name, parts in CHOICE_MUTATIONS.items()},
}
"""By name, the engine and the upheavals in which a seed shows it."""
