"""Both systems in memory, as the engine's ports see them: etags that move, conditions that hold, faults by switch."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from copy import replace
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

from shared.domain.model import CmmsRecord, DynamicsRecord, Value, Version
from shared.domain.schema.mapping import EntityMapping
from shared.domain.write import Intent, part_of
from shared.errors import Conflict, KeyTaken, LookupPending, MappingError, RejectedByTarget, SyncError, Unavailable
from shared.flows.ports.engine import Failed
from tests.fakes import FakeClock
from tests.kit.faults import Faults

US = UUID(int=1)
A_PERSON = UUID(int=2)
_counter = itertools.count(1)


class Dynamics:
    """Rows by id. `silent` fields take writes without effect; `becomes` says what a write of a field turns into.

    `secured` fields read as null. A `refused` field is left out of updates, a `pending` lookup of every write. `opens`
    lets a write of the state open a closed row. `keeps_state` takes writes of the state without effect. The host
    `stalls` for so long before it reads rows by id.
    """

    def __init__(self, calls: list[str], clock: FakeClock) -> None:
        self._clock = clock
        self.stalls = timedelta(0)
        self._calls = calls
        self.rows: dict[str, DynamicsRecord] = {}
        self.faults = Faults()
        self.writes: list[Intent] = []
        self.silent: set[str] = set()
        self.opens = False
        self.keeps_state = False
        self.secured: set[str] = set()
        self.refused = ""
        self.pending: set[str] = set()
        self.becomes: dict[str, Value] = {}

    @property
    def is_down(self) -> bool:
        return self.faults.away is not None

    def put(self, key: str, row_id: str | None = None, **values: Value) -> DynamicsRecord:
        """A person's edit: a new row, or other values of an old one."""
        old = next((row for row in self.rows.values() if row.id == row_id or (row_id is None and row.key == key)), None)
        return self._store(old, key=key, row_id=row_id or str(uuid4()), values=values, by=A_PERSON)

    def change(self, row: DynamicsRecord, **update: object) -> DynamicsRecord:
        """Anything else that may become of a row."""
        version = next(_counter)
        stored = replace(row, **{"etag": f'W/"{version}"', "version": version, **update})  # type: ignore[arg-type]
        self.rows[row.id] = stored
        return stored

    def _store(
        self, old: DynamicsRecord | None, *, key: str, row_id: str, values: Mapping[str, Value], by: UUID
    ) -> DynamicsRecord:
        blank = DynamicsRecord(key, "", {}, id=row_id, state=0, created=self._clock.now())
        return self.change(
            old or blank,
            key=key,
            values={**(old.values if old else {}), **values},
            modified=self._clock.now(),
            by_us=by == US,
        )

    async def by_key(self, entity: EntityMapping, keys: Collection[str]) -> Mapping[str, Sequence[DynamicsRecord]]:
        self._calls.append("dynamics by key")
        rows = self.faults.read(self.rows)
        return {
            key: [self._shown(row) for row in rows.values() if row.key.casefold() == key.casefold()] for key in keys
        }

    async def by_id(self, entity: EntityMapping, ids: Collection[str]) -> Mapping[str, DynamicsRecord]:
        self._calls.append("dynamics by id")
        self._clock.advance(self.stalls)
        rows = self.faults.read(self.rows)
        return {row_id: self._shown(rows[row_id]) for row_id in ids if row_id in rows}

    def _shown(self, row: DynamicsRecord) -> DynamicsRecord:
        return replace(row, values={**row.values, **dict.fromkeys(self.secured & row.values.keys())})

    async def unreadable(self, entity: EntityMapping) -> frozenset[str]:
        self._calls.append("dynamics security")
        return frozenset(entity.fields[name].column for name in self.secured)

    def share(self, records: int) -> int:
        return max(records, 1)

    async def write(
        self, entity: EntityMapping, writes: Sequence[Intent], deadline: float
    ) -> Sequence[DynamicsRecord | Failed]:
        self._calls.append("dynamics write")
        self.writes.extend(writes)
        return [self.faults.write(partial(self._write, entity, write)) for write in writes]

    def _write(self, entity: EntityMapping, write: Intent) -> DynamicsRecord | Failed:
        if waiting := self.pending & write.values.keys():
            return self._without(waiting, entity, write)
        old = self.rows.get(write.target or "")
        if (old.etag if old else None) != write.etag:
            return Failed(Conflict("changed meanwhile"))
        if old and not old.is_open and entity.stamp and write.stamped:
            return Failed(RejectedByTarget("a closed row takes nothing but a state"))
        values = dict(write.values)
        key = values.pop(entity.key.name, old.key if old else "") or ""
        if any(row.key.casefold() == key.casefold() and row is not old for row in self.rows.values()):
            return Failed(KeyTaken("another row has the key"))
        # A field that shows the status shares its column with the state that is written; what it says comes first.
        stateful = {name for name, rule in entity.fields.items() if rule.state_column}
        values = {**dict.fromkeys(stateful, str(write.state[1])), **values} if write.state is not None else values
        silent = self.silent | (stateful if self.keeps_state else set())
        taken = {name: self.becomes.get(name, value) for name, value in values.items() if name not in silent}
        blank = {} if old else dict.fromkeys(entity.fields)
        if old and self.refused in values:
            del taken[self.refused]
            row = self._store(old, key=key, row_id=old.id, values=taken, by=US)
            return Failed(RejectedByTarget("refused", field=self.refused), row=row)
        row = self._store(old, key=key, row_id=str(write.target), values=blank | taken, by=US)
        states = [entity.rules[name].state_of(taken[name]) for name in stateful & taken.keys()]
        wanted = [*(state for state in states if state is not None), *(write.state or ())[:1], row.state]
        return self._stamped(row, entity, write, row.state if self.keeps_state else wanted[0])

    def _without(self, waiting: set[str], entity: EntityMapping, write: Intent) -> Failed:
        error = LookupPending("no row has the code yet", field=min(waiting))
        rest = {name: value for name, value in write.values.items() if name not in waiting}
        if not rest and not write.creates:
            return Failed(error)
        row = self._write(entity, replace(write, values=rest, id=part_of(write.id)))
        return row if isinstance(row, Failed) else Failed(error, row=row, left_out=frozenset(waiting))

    def _stamped(self, row: DynamicsRecord, entity: EntityMapping, write: Intent, state: int | None) -> DynamicsRecord:
        opened = row.is_open or (self.opens and any(entity.rules[name].state_column for name in write.values))
        opened = opened and (entity.open_states is None or state in entity.open_states)
        operations = (write.id,) if entity.stamp and write.stamped else row.operations
        stored = replace(row, operations=operations, state=state, is_open=opened)
        self.rows[row.id] = stored
        return self._shown(stored)


class Cmms:
    """Records by id."""

    def __init__(self, calls: list[str], clock: FakeClock) -> None:
        self._clock = clock
        self._calls = calls
        self.records: dict[str, CmmsRecord] = {}
        self.unusable: dict[str, MappingError] = {}
        self.faults = Faults()
        self.writes: list[Intent] = []
        self.names_operations = True
        self.silent: set[str] = set()
        self.created: dict[str, str] = {}

    @property
    def is_down(self) -> bool:
        return self.faults.away is not None

    def put(self, key: str, record_id: str = "1", **values: Value) -> CmmsRecord:
        """A person's edit: a new record, or other values or another key of an old one."""
        return self._store(record_id, key, values, operation=None)

    def delete(self, record_id: str = "1") -> None:
        old = self.records[record_id]
        self.records[record_id] = CmmsRecord(
            old.key, "", {}, id=record_id, version=self._version(old), revision=old.revision, deleted=True
        )

    def _version(self, old: CmmsRecord | None) -> Version:
        now = self._clock.now()
        last = old.version.at if old is not None and old.version is not None else now - timedelta(days=1)
        return Version(max(now, last + timedelta(microseconds=1)))

    def _store(self, record_id: str, key: str, values: Mapping[str, Value], operation: str | None) -> CmmsRecord:
        old = self.records.get(record_id)
        known = old.values if old is not None and not old.deleted else {}
        taken = (old.operations or ()) if old is not None else ()
        record = CmmsRecord(
            key,
            f'"{next(_counter)}"',
            {**known, **values},
            id=record_id,
            version=self._version(old),
            operations=((*taken, operation) if operation else taken) if self.names_operations else None,
            revision=((old.revision or 0) if old is not None else 0) + 1,
            by_us=operation is not None,
        )
        self.records[record_id] = record
        return record

    async def by_id(self, entity: EntityMapping, ids: Collection[str]) -> Mapping[str, CmmsRecord | MappingError]:
        self._calls.append("cmms by id")
        records: dict[str, CmmsRecord | MappingError] = {**self.faults.read(self.records), **self.unusable}
        return {one: records[one] for one in ids if one in records}

    async def by_key(self, entity: EntityMapping, keys: Collection[str]) -> Mapping[str, CmmsRecord | MappingError]:
        self._calls.append("cmms by key")
        living = [record for record in self.faults.read(self.records).values() if not record.deleted]
        return {record.key: record for record in living if record.key in keys}

    async def write(
        self, entity: EntityMapping, writes: Sequence[Intent], deadline: float
    ) -> Sequence[CmmsRecord | Failed]:
        self._calls.append("cmms write")
        self.writes.extend(writes)
        return [self.faults.write(partial(self._write, entity, write)) for write in writes]

    def _write(self, entity: EntityMapping, write: Intent) -> CmmsRecord | Failed:
        values = dict(write.values)
        key = values.pop(entity.key.name, None)
        if write.etag is None:
            made = self.records.get(self.created.get(write.id, ""))
            if made is not None:
                return Failed(Conflict("made before"), row=made)
            if any(record.key == key and not record.deleted for record in self.records.values()):
                return Failed(KeyTaken("a record has the key"))
            record_id = str(len(self.records) + 1)
            self.created[write.id] = record_id
            return self._store(record_id, key or "", values, write.id)
        old = self.records.get(write.target or "")
        if old is None or old.deleted or old.etag != write.etag:
            return Failed(Conflict("changed meanwhile"))
        taken = {name: value for name, value in values.items() if name not in self.silent}
        return self._store(old.id, old.key, taken, write.id)


def refused(error: SyncError) -> Failed:
    """The answer to a write that a side refused."""
    return Failed(error)


def lost() -> Failed:
    """The answer that never came."""
    return Failed(Unavailable("the answer was lost"), unknown=True)
