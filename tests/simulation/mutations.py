"""The engine with one of its rules taken away. Each must make the checker find something: that proves the checker."""

import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from copy import replace
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from shared.domain.base import Base
from shared.domain.decide import Decision, Snapshot
from shared.domain.link import ConflictRecord, Identity, Link, Stored
from shared.domain.messages.events import Event, UpsertedData
from shared.domain.messages.webhook import Ignored
from shared.domain.schema.mapping import EntityMapping
from shared.domain.write import Intent
from shared.errors import Unavailable
from shared.flows.ports.engine import Cmms, Dynamics, Failed, Ledger
from shared.flows.receive import Receiver
from shared.flows.sync import Sync
from shared.flows.sync.execute import Executor
from shared.flows.sync.step import Round, Step
from shared.flows.sync.work import Work
from tests.simulation.condition_mutations import CONDITION_MUTATIONS, Like, like
from tests.simulation.plan_mutations import PLAN_MUTATIONS
from tests.simulation.references import REFERENCES
from tests.simulation.weather import Weather
from tests.simulation.worker import Parts


class Unconditional(Like):
    """Writes whatever the row or record holds by now."""

    async def write(self, entity: EntityMapping, writes: Sequence[Intent], deadline: float) -> Any:
        blind = [write if write.creates else write.model_copy(update={"etag": "*"}) for write in writes]
        return await self._real.write(entity, blind, deadline)


class NotDone(Like):
    """Takes a write without an answer for one that did not happen."""

    async def write(self, entity: EntityMapping, writes: Sequence[Intent], deadline: float) -> Any:
        results = await self._real.write(entity, writes, deadline)
        return [replace(one, unknown=False) if isinstance(one, Failed) else one for one in results]


class Unsaid(Like):
    """Does not say which fields of a row were left out of a write."""

    async def write(self, entity: EntityMapping, writes: Sequence[Intent], deadline: float) -> Any:
        results = await self._real.write(entity, writes, deadline)
        return [replace(one, left_out=frozenset()) if isinstance(one, Failed) else one for one in results]


class _WithoutIntents(Executor):
    async def _announce(self, entity: EntityMapping, steps: Sequence[Step]) -> tuple[list[Step], Round]:
        ready, lost = await super()._announce(entity, steps)
        bare = [one.stored.model_copy(update={"link": _without_intents(one.stored.link)}) for one in ready]
        forgotten = await self._ledger.write(entity.name, bare)
        kept = zip(ready, forgotten, strict=True)
        return [
            replace(step, stored=one, link=one.link) if isinstance(one, Stored) else step for step, one in kept
        ], lost


def _without_intents(link: Link) -> Link:
    return link.model_copy(update={"intents": ()})


class _ConflictsAtCommit(Executor):
    async def _announce(self, entity: EntityMapping, steps: Sequence[Step]) -> tuple[list[Step], Round]:
        silent = [replace(step, link=_with_conflicts(step.link, step.stored.link.conflicts)) for step in steps]
        return await super()._announce(entity, silent)

    async def _commit(self, entity: EntityMapping, steps: Sequence[Step]) -> tuple[list[Step], Round]:
        told = [
            replace(step, link=_with_conflicts(step.link, (*step.link.conflicts, *step.plan.merged.conflicts)))
            if step.intents
            else step
            for step in steps
        ]
        return await super()._commit(entity, told)


def _with_conflicts(link: Link, conflicts: Sequence[ConflictRecord]) -> Link:
    return link.model_copy(update={"conflicts": tuple(conflicts)})


def _with_executor(kind: type[Executor]) -> Callable[[], Parts]:
    class Mutant(Sync):
        def __init__(self, *parts: Any, **more: Any) -> None:
            super().__init__(*parts, **more)
            sides, watch = (self._dynamics, self._cmms), self._snapshots.watch
            self._executor = kind(self._ledger, *sides, self._router, watch, clock=self._clock, ids=more["ids"])

    return lambda: Parts(sync=Mutant)


class MessageValues(Sync):
    """Takes the CMMS's values from its messages, as far as they have any."""

    def _decide(self, entity: EntityMapping, work: Work, snapshot: Snapshot, now: datetime) -> Decision:
        said = [one.payload for one in work.deliveries if isinstance(one.payload, UpsertedData)]
        cmms = snapshot.cmms
        if said and not cmms.deleted:
            fields = {name: raw for name, raw in said[-1].fields.items() if name in entity.fields}
            values = {name: entity.fields[name].from_cmms(raw) for name, raw in fields.items()}
            snapshot = replace(snapshot, cmms=replace(cmms, values={**cmms.values, **values}))
        return super()._decide(entity, work, snapshot, now)


class OneBase(Like):
    """Remembers the CMMS's value only, and compares Dynamics with it as well."""

    async def find(self, entity: str, identities: Collection[Identity]) -> Mapping[Identity, Any]:
        found = await self._real.find(entity, identities)
        return {name: stored.model_copy(update={"link": self._one(stored.link)}) for name, stored in found.items()}

    @staticmethod
    def _one(link: Link) -> Link:
        bases = {name: Base(cmms=base.cmms, dynamics=base.cmms, rule=base.rule) for name, base in link.bases.items()}
        return link.model_copy(update={"bases": bases})


class Untracked(Like):
    """Tells the incremental pass of no change."""

    async def changes(self, entity: EntityMapping, link: str) -> AsyncIterator[Any]:
        async for page in self._real.changes(entity, link):
            yield replace(page, changed={}, deleted=())

    async def changed_since(self, entity: EntityMapping, since: datetime) -> AsyncIterator[Sequence[str]]:
        async for _ in self._real.changed_since(entity, since):
            yield []


class Deaf(Receiver):
    """Gets no webhook through, which no engine is to blame for: the incremental pass finds what they would tell."""

    async def receive(self, body: bytes, *, traceparent: str | None = None) -> str | Ignored:
        raise Unavailable("The queue cannot be reached.")


class ContentIds(Receiver):
    """Names a message after its content."""

    def _event(self, *given: Any) -> Event:
        event = super()._event(*given)
        content = json.dumps([event.type, event.data], sort_keys=True)
        return event.model_copy(update={"id": str(uuid5(NAMESPACE_URL, content))})


def _sides(kind: type[Like]) -> Callable[[], Parts]:
    dynamics: Callable[[Dynamics], Dynamics] = like(kind)
    cmms: Callable[[Cmms], Cmms] = like(kind)
    return lambda: Parts(dynamics=dynamics, cmms=cmms)


def _cmms(kind: type[Like]) -> Callable[[], Parts]:
    cmms: Callable[[Cmms], Cmms] = like(kind)
    return lambda: Parts(cmms=cmms)


def _ledger(kind: type[Like]) -> Callable[[], Parts]:
    ledger: Callable[[Ledger], Ledger] = like(kind)
    return lambda: Parts(ledger=ledger)


LEFT_OUT: Final = "what was left out of a write is not known"
MUTATIONS: Final[dict[str, Callable[[], Parts]]] = {
    "no If-Match": _sides(Unconditional),
    "no If-Match to the CMMS": _cmms(Unconditional),
    "no intent": _with_executor(_WithoutIntents),
    "a lost answer counts as not done": _sides(NotDone),
    LEFT_OUT: lambda: Parts(dynamics=like(Unsaid)),
    "message values instead of reads": lambda: Parts(sync=MessageValues),
    "one base instead of two": _ledger(OneBase),
    "conflicts recorded only at commit": _with_executor(_ConflictsAtCommit),
    "no changes in the incremental pass": lambda: replace(_sides(Untracked)(), receiver=Deaf),
    "content-derived message ids": lambda: Parts(receiver=ContentIds),
    **PLAN_MUTATIONS,
    **{name: parts for name, (parts, _) in CONDITION_MUTATIONS.items()},
}
UPHEAVALS: Final = {
    **{name: upheavals for name, (_, upheavals) in CONDITION_MUTATIONS.items()},
    LEFT_OUT: ("idle", REFERENCES),
}
"""What befalls the systems in the seeds of a mutation; nothing in those of the others."""


def _late() -> Weather:
    """Many writes land minutes late, where a condition is all that keeps them from what was edited since."""
    return Weather(late=0.3)


def _unanswered() -> Weather:
    """Many answers are lost, so that people edit what nobody is known to have written."""
    return Weather(lost_answer=0.3)


WEATHERS: Final[dict[str, Callable[[], Weather]]] = {
    "a lost answer counts as not done": _unanswered,
    "no If-Match": _late,
    "no If-Match to the CMMS": _late,
}
"""The weather of a mutation's seeds, where they do not draw it."""
CONTROLS: Final[dict[str, Callable[[], Parts]]] = {
    "no changes in the incremental pass": lambda: Parts(receiver=Deaf),
}
"""What passes on the same seed where it is not simply the engine itself."""
