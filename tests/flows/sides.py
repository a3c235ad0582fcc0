"""Both systems in memory, as the engine's ports see them: etags that move, conditions that are kept, calls in order."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from random import Random
from typing import cast
from uuid import UUID, uuid4

from shared.adapters.ledger.sqlite import SqliteLedger
from shared.domain.ledger import Entry
from shared.domain.messages.events import Event
from shared.domain.model import CmmsRecord, DynamicsRecord, Value, Version
from shared.domain.schema.mapping import EntityMapping
from shared.domain.schema.mapping import Mapping as Table
from shared.errors import Conflict, MappingError, SyncError
from shared.flows.ports import engine as ports
from shared.flows.ports.engine import CmmsWrite, DynamicsWrite, Failed
from shared.flows.routing.route import Router
from shared.flows.sync import Summary, Sync
from tests.fakes import FakeBus, FakeClock, document_mapping

US = UUID(int=1)
_etags = itertools.count(1)


class Dynamics:
    """Rows by id. `refuse` fails the next writes; `calls` tells in which order things were asked."""

    def __init__(self, calls: list[str], clock: FakeClock) -> None:
        self._clock = clock
        self.rows: dict[str, DynamicsRecord] = {}
        self.writes: list[DynamicsWrite] = []
        self.refuse: list[SyncError] = []
        self._calls = calls

    def put(self, key: str, row_id: str | None = None, **values: Value) -> DynamicsRecord:
        """A person's edit: a new row, or other values of an old one."""
        old = next((row for row in self.rows.values() if row.id == row_id or row.key == key), None)
        row = DynamicsRecord(
            key=key,
            etag=f'W/"{next(_etags)}"',
            values={**(old.values if old else {}), **values},
            id=old.id if old else row_id or str(uuid4()),
            state=0,
            modified_by=str(UUID(int=2)),
            created=old.created if old else self._clock.now(),
        )
        self.rows[row.id] = row
        return row

    async def by_key(self, entity: EntityMapping, keys: Collection[str]) -> Mapping[str, Sequence[DynamicsRecord]]:
        self._calls.append("dynamics read")
        return {key: [row for row in self.rows.values() if row.key.casefold() == key.casefold()] for key in keys}

    async def by_id(self, entity: EntityMapping, ids: Collection[str]) -> Mapping[str, DynamicsRecord]:
        return {row_id: self.rows[row_id] for row_id in ids if row_id in self.rows}

    async def user_id(self) -> UUID:
        return US

    async def write(
        self, entity: EntityMapping, writes: Sequence[DynamicsWrite], deadline: float
    ) -> Sequence[DynamicsRecord | Failed]:
        self._calls.append("dynamics write")
        return [self._write(entity, write) for write in writes]

    def _write(self, entity: EntityMapping, write: DynamicsWrite) -> DynamicsRecord | Failed:
        self.writes.append(write)
        if self.refuse:
            return Failed(self.refuse.pop(0))
        old = self.rows.get(write.id) if write.id else None
        if write.id is not None and write.etag is not None and (old is None or old.etag != write.etag):
            return Failed(Conflict("changed meanwhile"))
        key = write.key if old is None or write.restore_key else old.key
        if any(row.key == key and row.id != (old.id if old else None) for row in self.rows.values()):
            return Failed(Conflict("another row has the key"))
        row = DynamicsRecord(
            key=key,
            etag=f'W/"{next(_etags)}"',
            values=dict.fromkeys(entity.fields) | dict(old.values if old else {}) | dict(write.values),
            id=old.id if old else write.new_id or str(uuid4()),
            state=write.state[0] if write.state else old.state if old else 0,
            modified_by=str(US),
            created=old.created if old else self._clock.now(),
        )
        self.rows[row.id] = row
        return row


class Cmms:
    """Records by key."""

    def __init__(self, calls: list[str], clock: FakeClock) -> None:
        self.records: dict[str, CmmsRecord] = {}
        self.unusable: dict[str, MappingError] = {}
        self.writes: list[CmmsWrite] = []
        self._calls = calls
        self._clock = clock

    def put(self, key: str, **values: Value) -> CmmsRecord:
        """A person's edit."""
        old = self.records.get(key)
        known = old.values if old and not old.deleted else {}
        record = CmmsRecord(key, f'"{next(_etags)}"', {**known, **values}, version=Version(self._clock.now()))
        self.records[key] = record
        return record

    def delete(self, key: str) -> None:
        self.records[key] = CmmsRecord(key, "", {}, version=Version(self._clock.now()), deleted=True)

    async def by_key(self, entity: EntityMapping, keys: Collection[str]) -> Mapping[str, CmmsRecord]:
        self._calls.append("cmms read")
        return {key: self.records[key] for key in keys if key in self.records}

    async def each_by_key(
        self, entity: EntityMapping, keys: Collection[str]
    ) -> Mapping[str, CmmsRecord | MappingError]:
        return {**await self.by_key(entity, keys), **{key: self.unusable[key] for key in keys if key in self.unusable}}

    async def by_id(self, entity: EntityMapping, ids: Collection[str]) -> Mapping[str, CmmsRecord]:
        living = [record for record in self.records.values() if not record.deleted]
        return {record.id: record for record in living if record.id is not None and record.id in ids}

    async def write(
        self, entity: EntityMapping, writes: Sequence[CmmsWrite], deadline: float
    ) -> Sequence[CmmsRecord | Failed]:
        self._calls.append("cmms write")
        results: list[CmmsRecord | Failed] = []
        for write in writes:
            self.writes.append(write)
            old = self.records.get(write.key)
            if (old.etag if old and not old.deleted else None) != write.etag:
                results.append(Failed(Conflict("changed meanwhile")))
            else:
                taken = (old.operations if old else None) or frozenset()
                stored = replace(self.put(write.key, **dict(write.values)), operations=taken | {str(write.operation)})
                self.records[write.key] = stored
                results.append(stored)
        return results


class Ledger(SqliteLedger):
    """In memory, telling when it is asked."""

    def __init__(self, calls: list[str]) -> None:
        super().__init__(":memory:")
        self._told = calls

    async def read(self, entity, keys):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201  # as its parent
        self._told.append("ledger read")
        return await super().read(entity, keys)

    async def write(self, entity, entries):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201  # as its parent
        self._told.append("ledger write")
        return await super().write(entity, entries)


@dataclass
class World:
    """The engine between both systems."""

    one_way: bool = False
    mapping: Table = field(default_factory=document_mapping)

    def __post_init__(self) -> None:
        self.calls: list[str] = []
        self.clock = FakeClock()
        self.bus = FakeBus()
        self.dynamics = Dynamics(self.calls, self.clock)
        self.cmms = Cmms(self.calls, self.clock)
        self.ledger = Ledger(self.calls)
        self.router = Router(self.bus, self.clock, Random(1))  # noqa: S311  # jitter
        # The sides leave out what the engine never calls, such as reading everything.
        dynamics, cmms = cast("ports.Dynamics", self.dynamics), cast("ports.Cmms", self.cmms)
        self.sync = Sync(
            self.mapping, self.ledger, dynamics, None if self.one_way else cmms, self.router, clock=self.clock
        )

    def close(self) -> None:
        self.ledger.close()

    async def dirty(self, key: str, entity: str = "asset") -> Summary:
        """One message that says: look at this record."""
        event = Event(id=str(uuid4()), source="/test", type=f"sync.{entity}.dirty", data={"key": key})
        return await self.sync.handle(entity, [event.to_json().encode()])

    async def said(self, version: datetime, kind: str = "upserted", **fields: Value) -> Summary:
        """One CMMS message about the asset A."""
        data = {"key": "A", "version": version.isoformat(), **({"fields": fields} if kind == "upserted" else {})}
        event = Event(id=str(uuid4()), source="/energy-cmms", type=f"energy.asset.{kind}", data=data)
        return await self.sync.handle("asset", [event.to_json().encode()])

    async def entry(self, key: str, entity: str = "asset") -> Entry:
        found: Entry = (await self.ledger.read(entity, [key]))[key].entry  # type: ignore[no-untyped-call]
        return found

    def row(self, key: str) -> DynamicsRecord:
        return next(row for row in self.dynamics.rows.values() if row.key == key)

    def close_row(self, key: str) -> None:
        row = self.row(key)
        self.dynamics.rows[row.id] = replace(row, is_open=False, state=3, etag=f'W/"{next(_etags)}"')
