"""The engine with one of its rules taken away. Each must make the checker find something: that proves the checker."""

import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from shared.domain.ledger import Base, ConflictRecord, Entry, Stored, readable
from shared.domain.messages.events import Event, UpsertedData
from shared.domain.messages.webhook import Ignored
from shared.domain.model import CmmsRecord, DynamicsRecord
from shared.domain.plan import Sides
from shared.domain.schema.mapping import EntityMapping
from shared.errors import Unavailable
from shared.flows.ports.engine import Cmms, CmmsWrite, Dynamics, DynamicsChanges, DynamicsWrite, Failed, Ledger
from shared.flows.receive import Receiver
from shared.flows.sync import Sync
from shared.flows.sync.execute import Executor
from shared.flows.sync.items import Group, Memories
from shared.flows.sync.jobs import Job
from tests.simulation.plan_mutations import PLAN_MUTATIONS
from tests.simulation.worker import Parts


class _Like:
    """Everything that is not overridden goes to the real part."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class DynamicsUnconditional(_Like):
    """Writes whatever the row holds by now."""

    async def write(
        self, entity: EntityMapping, writes: Sequence[DynamicsWrite], deadline: float
    ) -> Sequence[DynamicsRecord | Failed]:
        blind = [replace(write, etag="*" if write.id else None) for write in writes]
        return await self._real.write(entity, blind, deadline)  # type: ignore[no-any-return]


class DynamicsUntracked(_Like):
    """Tells the incremental pass of no change."""

    async def changes(self, entity: EntityMapping, link: str) -> AsyncIterator[DynamicsChanges]:
        async for page in self._real.changes(entity, link):
            yield replace(page, changed={}, deleted=())


class CmmsUntracked(_Like):
    """Tells the incremental pass of no change."""

    async def changed_since(self, entity: EntityMapping, since: datetime) -> AsyncIterator[Sequence[str]]:
        async for _ in self._real.changed_since(entity, since):
            yield []


class CmmsUnconditional(_Like):
    """Writes whatever the record holds by now."""

    async def write(
        self, entity: EntityMapping, writes: Sequence[CmmsWrite], deadline: float
    ) -> Sequence[CmmsRecord | Failed]:
        blind = [replace(write, etag="*" if write.etag else None) for write in writes]
        return await self._real.write(entity, blind, deadline)  # type: ignore[no-any-return]


class _WithoutIntents(Executor):
    async def _announce(self, entity: EntityMapping, jobs: Sequence[Job]) -> list[Job]:
        announced = await super()._announce(entity, jobs)
        for job in announced:
            mine = {intent.id for intent in job.intents}
            rest = tuple(intent for intent in job.stored.entry.intents if intent.id not in mine)
            job.stored = job.stored.model_copy(update={"entry": job.stored.entry.model_copy(update={"intents": rest})})
        forgotten = await self._ledger.write(entity.name, [job.stored for job in announced])
        for job, stored in zip(announced, forgotten, strict=True):
            job.stored = stored if isinstance(stored, Stored) else job.stored
        return announced


class _ConflictsAtCommit(Executor):
    async def _announce(self, entity: EntityMapping, jobs: Sequence[Job]) -> list[Job]:
        for job in jobs:
            known = {"conflicts": job.stored.entry.conflicts}
            job.plan = replace(job.plan, entry=job.plan.entry.model_copy(update=known))
        return await super()._announce(entity, jobs)

    async def _commit(self, entity: EntityMapping, quiet: Sequence[Job], loud: Sequence[Job]) -> None:
        for job in loud:
            found: tuple[ConflictRecord, ...] = (*job.stored.entry.conflicts, *job.plan.merged.conflicts)
            entry = job.stored.entry.model_copy(update={"conflicts": found})
            job.stored = job.stored.model_copy(update={"entry": entry})
        await super()._commit(entity, quiet, loud)


def _with_executor(kind: type[Executor]) -> type[Sync]:
    class Mutant(Sync):
        def __init__(self, *parts: Any, **more: Any) -> None:
            super().__init__(*parts, **more)
            sides = self._dynamics, self._cmms
            self._executor = kind(self._ledger, *sides, self._router, clock=self._clock, ids=self._ids)

    return Mutant


class LedgerLast(Sync):
    """Reads both sides first, and the ledger after them."""

    async def _round(self, entity: EntityMapping, groups: dict[str, Group], read: Memories) -> int:
        self._sides, _ = await super()._read(entity, groups, {key: readable(read[key]).entry for key in groups})
        return await super()._round(entity, groups, await self._ledger.read(entity.name, list(groups)))

    async def _read(
        self, entity: EntityMapping, groups: dict[str, Group], entries: dict[str, Entry]
    ) -> tuple[dict[str, Sides], dict[str, Entry]]:
        return {key: self._sides[key] for key in groups}, entries


class MessageValues(Sync):
    """Takes the CMMS's values from its messages, as far as they have any."""

    async def _read(
        self, entity: EntityMapping, groups: dict[str, Group], entries: dict[str, Entry]
    ) -> tuple[dict[str, Sides], dict[str, Entry]]:
        sides, entries = await super()._read(entity, groups, entries)
        for key, group in groups.items():
            said = [item.payload for item in group.open_items if isinstance(item.payload, UpsertedData)]
            cmms = sides[key].cmms
            if said and cmms is not None and not cmms.deleted:
                fields = {name: raw for name, raw in said[-1].fields.items() if name in entity.fields}
                values = {name: entity.fields[name].from_cmms(raw) for name, raw in fields.items()}
                sides[key] = replace(sides[key], cmms=replace(cmms, values={**cmms.values, **values}))
        return sides, entries


class OneBase(_Like):
    """Remembers the CMMS's value only, and compares Dynamics with it as well."""

    async def read(self, entity: str, keys: Collection[str]) -> Mapping[str, Stored]:
        found = {key: readable(one) for key, one in (await self._real.read(entity, keys)).items()}
        return {key: stored.model_copy(update={"entry": self._one(stored.entry)}) for key, stored in found.items()}

    @staticmethod
    def _one(entry: Entry) -> Entry:
        bases = {name: Base(cmms=base.cmms, dynamics=base.cmms) for name, base in entry.bases.items()}
        return entry.model_copy(update={"bases": bases})


class ContentIds(Receiver):
    """Names a message after its content."""

    def _event(self, *given: Any) -> Event:
        event = super()._event(*given)
        content = json.dumps([event.type, event.data], sort_keys=True)
        return event.model_copy(update={"id": str(uuid5(NAMESPACE_URL, content))})


class Deaf(Receiver):
    """Gets no webhook through, which no engine is to blame for: the incremental pass finds what they would tell."""

    async def receive(self, body: bytes, *, traceparent: str | None = None) -> str | Ignored:
        raise Unavailable("The queue cannot be reached.")


def _dynamics_unconditional(real: Dynamics) -> Dynamics:
    return DynamicsUnconditional(real)


def _cmms_unconditional(real: Cmms) -> Cmms:
    return CmmsUnconditional(real)


def _untracked() -> Parts:
    def dynamics(real: Dynamics) -> Dynamics:
        return DynamicsUntracked(real)

    def cmms(real: Cmms) -> Cmms:
        return CmmsUntracked(real)

    return Parts(dynamics=dynamics, cmms=cmms, receiver=Deaf)


def _one_base() -> Parts:
    def ledger(real: Ledger) -> Ledger:
        return OneBase(real)

    return Parts(ledger=ledger)


MUTATIONS: Final[dict[str, Callable[[], Parts]]] = {
    "no If-Match": lambda: Parts(dynamics=_dynamics_unconditional, cmms=_cmms_unconditional),
    "no If-Match to the CMMS": lambda: Parts(cmms=_cmms_unconditional),
    "no intent": lambda: Parts(sync=_with_executor(_WithoutIntents)),
    "ledger read after the sides": lambda: Parts(sync=LedgerLast),
    "message values instead of reads": lambda: Parts(sync=MessageValues),
    "one base instead of two": _one_base,
    "conflicts recorded only at commit": lambda: Parts(sync=_with_executor(_ConflictsAtCommit)),
    "no changes in the incremental pass": _untracked,
    "content-derived message ids": lambda: Parts(receiver=ContentIds),
    **PLAN_MUTATIONS,
}
CONTROLS: Final[dict[str, Callable[[], Parts]]] = {
    "no changes in the incremental pass": lambda: Parts(receiver=Deaf),
}
"""What passes on the same seed where it is not simply the engine itself."""
