"""Energy CMMS in memory: records, the app's memory of each, and the outbox.

It follows the Django app (`cmms/integracion_dynamics`) so far as the integration can see; a differential test holds
both to the same histories.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

from tests.simulation.tables import COLLECTIONS, DECIMALS, FIELDS, KEYS

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
OPERATIONS = 20
REQUIRED = frozenset({"nombre", "estado", "fecha_creacion", *KEYS.values()})
QUEUES = {"asset": "assets", "order": "orders"}

type Fields = dict[str, str | None]


def instant(moment: datetime) -> str:
    """UTC with six decimals."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass
class Memory:
    """What the app remembers of one record. `created_by` is the operation that made it."""

    key: str = ""
    revision: int = 0
    version: datetime = EPOCH
    modified_at: datetime = EPOCH
    by_integration: bool = False
    deleted: bool = False
    operations: list[str] = field(default_factory=list)
    created_by: str | None = None
    fingerprint: str = ""


@dataclass
class Message:
    """A row of the outbox."""

    sequence: int
    id: str
    queue: str
    body: bytes
    sent: bool = False


@dataclass(frozen=True)
class Step:
    """One change of one record, for those who watch; None stands for a record that is not there."""

    entity: str
    pk: int
    before: Fields | None
    after: Fields | None
    by_integration: bool
    operation: str | None = None
    silent: bool = False


@dataclass
class Table:
    """One entity's records, and the app's memories of them, by primary key."""

    records: dict[int, Fields] = field(default_factory=dict)
    memories: dict[int, Memory] = field(default_factory=dict)


class CmmsModel:
    """Everything happens at one instant, as in one transaction."""

    def __init__(self, clock: Callable[[], datetime], rng: Random) -> None:
        self._clock = clock
        self._rng = rng
        self._last_pk = 0
        self.tables = {entity: Table() for entity in FIELDS}
        self.outbox: list[Message] = []
        self.news = asyncio.Event()
        """Set with every message."""
        self.partial = False
        """Whether messages of changes say no more than what changed, as another CMMS's may."""
        self.watchers: list[Callable[[Step], None]] = []

    def find(self, entity: str, key: str) -> tuple[int, Fields] | None:
        """The record with this key."""
        name = KEYS[entity]
        return next(((pk, row) for pk, row in self.tables[entity].records.items() if row[name] == key), None)

    def create(
        self,
        entity: str,
        key: str,
        values: Mapping[str, str | None],
        *,
        by_integration: bool = False,
        silent: bool = False,
        operation: str | None = None,
    ) -> int:
        """Store a new record; the key must be free. `operation` is the integration's name for the write.

        `silent` as a bulk import does, which announces nothing.
        """
        self._last_pk += 1
        defaults: Fields = dict.fromkeys(FIELDS[entity])
        if entity == "order":
            defaults |= {"justificacion": "", "estado": "BORRADOR", "fecha_creacion": instant(self._clock())}
        row = {KEYS[entity]: key, **defaults, **_all_stored(values)}
        pk = self._last_pk
        self.tables[entity].records[pk] = row
        self._announce(entity, pk, by_integration, operation=operation)
        if silent:
            del self.outbox[-1]
        self.tables[entity].memories[pk].created_by = operation
        self._watch(Step(entity, pk, None, dict(row), by_integration, operation))
        return pk

    def edit(
        self,
        entity: str,
        pk: int,
        values: Mapping[str, str | None],
        *,
        silent: bool = False,
        by_integration: bool = False,
        operation: str | None = None,
    ) -> None:
        """Change fields, the key among them; `silent` as a bulk import does, which announces nothing."""
        row = self.tables[entity].records[pk]
        before = dict(row)
        row.update(_all_stored(values))
        if not silent:
            said = values.keys() if self.partial else row.keys()
            self._announce(entity, pk, by_integration, said=said, operation=operation)
        self._watch(Step(entity, pk, before, dict(row), by_integration, operation, silent))

    def delete(self, entity: str, pk: int) -> None:
        """Delete the record and leave a tombstone."""
        row = self.tables[entity].records.pop(pk)
        self._announce(entity, pk, by_integration=False)
        self._watch(Step(entity, pk, dict(row), None, by_integration=False))

    def announce_all(self) -> None:
        """Send everything once more, as a new state, as an operator's command of the app does."""
        for entity, table in self.tables.items():
            for pk, memory in table.memories.items():
                row = table.records.get(pk)
                self._advance(memory, by_integration=False)
                said = ("deleted", {}) if row is None else ("upserted", {"fields": dict(row)})
                self._send(entity, pk, said[0], memory, said[1])

    def etag(self, entity: str, pk: int) -> str:
        """A hash over content and revision."""
        table = self.tables[entity]
        text = f"{table.memories[pk].revision}:{_fingerprint(table.records[pk])}"
        return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'

    def shown(self, entity: str, pk: int) -> dict[str, Any] | None:
        """A record or tombstone as the API gives it; None where there never was one."""
        table = self.tables[entity]
        memory, row = table.memories.get(pk), table.records.get(pk)
        if memory is None:
            return None
        if row is None:
            return {"id": str(pk), "clave": memory.key, "borrado": True, "version": instant(memory.version)}
        return {
            "id": str(pk),
            "clave": row[KEYS[entity]],
            "etag": self.etag(entity, pk),
            "version": instant(memory.version),
            "revision": memory.revision,
            "modificado_en": instant(memory.modified_at),
            "modificado_por": "integracion" if memory.by_integration else "persona",
            "borrado": False,
            "operaciones": list(memory.operations),
            "campos": dict(row),
        }

    def made_by(self, entity: str, operation: str | None) -> int | None:
        """The record that this operation made, if it did."""
        memories = self.tables[entity].memories.items()
        return next((pk for pk, one in memories if operation is not None and one.created_by == operation), None)

    def _announce(
        self,
        entity: str,
        pk: int,
        by_integration: bool,
        *,
        said: Collection[str] | None = None,
        operation: str | None = None,
    ) -> None:
        table = self.tables[entity]
        row, memory = table.records.get(pk), table.memories.setdefault(pk, Memory())
        if row is None:
            memory.fingerprint, memory.deleted = "", True
            self._advance(memory, by_integration)
            self._send(entity, pk, "deleted", memory, {})
            return
        if operation is not None:
            memory.operations = [*memory.operations, operation][-OPERATIONS:]
        if memory.fingerprint == _fingerprint(row):
            return
        memory.key, memory.fingerprint = str(row[KEYS[entity]]), _fingerprint(row)
        self._advance(memory, by_integration)
        fields = {name: value for name, value in row.items() if said is None or name in said}
        self._send(entity, pk, "upserted", memory, {"fields": fields})

    def _advance(self, memory: Memory, by_integration: bool) -> None:
        memory.revision += 1
        memory.version = max(self._clock(), memory.version + TICK)
        memory.modified_at = self._clock()
        memory.by_integration = by_integration

    def _send(self, entity: str, pk: int, what: str, memory: Memory, data: dict[str, Any]) -> None:
        sequence = len(self.outbox) + 1
        event = {
            "specversion": "1.0",
            "id": str(UUID(int=self._rng.getrandbits(128), version=4)),
            "source": "/energy-cmms",
            "type": f"energy.{entity}.{what}",
            "subject": memory.key,
            "time": instant(self._clock()),
            "datacontenttype": "application/json",
            "data": {
                "id": str(pk),
                "key": memory.key,
                "version": instant(memory.version),
                "origin": "integration" if memory.by_integration else "person",
                **data,
                "sequence": sequence,
            },
        }
        self.news.set()
        self.outbox.append(Message(sequence, str(event["id"]), QUEUES[entity], json.dumps(event).encode()))

    def _watch(self, step: Step) -> None:
        for watcher in self.watchers:
            watcher(step)


def entity_of(collection: str) -> str | None:
    """The entity that the API calls by this name."""
    return next((entity for entity, name in COLLECTIONS.items() if name == collection), None)


def _all_stored(values: Mapping[str, str | None]) -> Fields:
    return {name: stored(name, value) for name, value in values.items()}


def _fingerprint(row: Fields) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def stored(name: str, raw: Any) -> str | None:
    """A value in the form in which the CMMS's columns give it back."""
    if raw is None:
        if name in REQUIRED:
            raise ValueError(name)
        return "" if name == "justificacion" else None
    if not isinstance(raw, str):
        raise ValueError(name)
    if name in DECIMALS:
        return format(Decimal(raw).quantize(Decimal("0.01")), "f")
    if name == "fecha_adquisicion":
        return date.fromisoformat(raw).isoformat()
    if name == "fecha_creacion":
        return raw.replace("Z", ".000000Z") if "." not in raw else raw
    return raw
