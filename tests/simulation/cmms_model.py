"""Energy CMMS in memory: records, the app's memory of each key, and the outbox.

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
    """What the app remembers of one key."""

    pk: int | None = None
    revision: int = 0
    version: datetime = EPOCH
    modified_at: datetime = EPOCH
    by_integration: bool = False
    deleted: bool = False
    renamed_to: str = ""
    former_keys: list[str] = field(default_factory=list)
    operations: list[str] | None = None
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
    key: str
    before: Fields | None
    after: Fields | None
    by_integration: bool


@dataclass
class Table:
    """One entity's records by primary key, and the memories by business key."""

    records: dict[int, Fields] = field(default_factory=dict)
    memories: dict[str, Memory] = field(default_factory=dict)


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
        operation: str | None = None,
    ) -> int:
        """Store a new record; the key must be free. `operation` is the integration's name for the write."""
        self._last_pk += 1
        defaults: Fields = dict.fromkeys(FIELDS[entity])
        if entity == "order":
            defaults |= {"justificacion": "", "estado": "BORRADOR", "fecha_creacion": instant(self._clock())}
        row = {KEYS[entity]: key, **defaults, **_all_stored(values)}
        self.tables[entity].records[self._last_pk] = row
        self._announce(entity, self._last_pk, None, by_integration, operation=operation)
        self._watch(Step(entity, self._last_pk, key, None, dict(row), by_integration))
        return self._last_pk

    def edit(
        self,
        entity: str,
        key: str,
        values: Mapping[str, str | None],
        *,
        silent: bool = False,
        by_integration: bool = False,
        operation: str | None = None,
    ) -> None:
        """Change fields; `silent` as a bulk import does, which announces nothing."""
        found = self.find(entity, key)
        if found is None:
            raise LookupError(key)
        pk, row = found
        before = dict(row)
        row.update(_all_stored(values))
        if not silent:
            said = values.keys() if self.partial else row.keys()
            self._announce(entity, pk, None, by_integration, said=said, operation=operation)
        self._watch(Step(entity, pk, key, before, dict(row), by_integration))

    def delete(self, entity: str, key: str) -> None:
        """Delete the record and leave a tombstone."""
        found = self.find(entity, key)
        if found is None:
            raise LookupError(key)
        pk, row = found
        del self.tables[entity].records[pk]
        self._announce(entity, pk, key, by_integration=False)
        self._watch(Step(entity, pk, key, dict(row), None, by_integration=False))

    def rename(self, entity: str, key: str, new: str) -> None:
        """Give the record another key, which must be free."""
        found = self.find(entity, key)
        if found is None or self.find(entity, new) is not None:
            raise LookupError(key)
        pk, row = found
        before = dict(row)
        row[KEYS[entity]] = new
        self._announce(entity, pk, key, by_integration=False)
        self._watch(Step(entity, pk, new, before, dict(row), by_integration=False))

    def etag(self, entity: str, row: Fields) -> str:
        """A hash over content and revision."""
        memory = self._live(entity, row)
        text = f"{memory.revision if memory else 0}:{_fingerprint(row)}"
        return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'

    def shown(self, entity: str, row: Fields) -> dict[str, Any]:
        """A record as the API gives it."""
        found = self._live(entity, row)
        memory = found or Memory()
        pk = next(pk for pk, one in self.tables[entity].records.items() if one is row)
        taken = memory.operations if memory.pk == pk else None
        return {
            "clave": row[KEYS[entity]],
            "etag": self.etag(entity, row),
            "version": instant(memory.version),
            "modificado_en": instant(memory.modified_at),
            "modificado_por": "integracion" if memory.by_integration else "persona",
            "borrado": False,
            "id": str(pk),
            **(_names(memory) if found else {}),
            **({"operaciones": taken} if taken is not None else {}),
            "campos": dict(row),
        }

    def tombstone(self, entity: str, key: str) -> dict[str, Any] | None:
        """What is shown of a key that is no longer used."""
        memory = self.tables[entity].memories.get(key)
        if memory is None or not memory.deleted:
            return None
        return {"clave": key, "borrado": True, "version": instant(memory.version), **_names(memory)}

    def _live(self, entity: str, row: Fields) -> Memory | None:
        memory = self.tables[entity].memories.get(str(row[KEYS[entity]]))
        return memory if memory is not None and not memory.deleted and memory.revision else None

    def _announce(
        self,
        entity: str,
        pk: int,
        former: str | None,
        by_integration: bool,
        *,
        said: Collection[str] | None = None,
        operation: str | None = None,
    ) -> None:
        table = self.tables[entity]
        row = table.records.get(pk)
        key = str(row[KEYS[entity]]) if row else ""
        if former is not None:
            left = table.memories.setdefault(former, Memory())
            left.pk, left.fingerprint, left.deleted, left.renamed_to = None, "", True, key
            # A rename is later than all that was said of either key.
            left.version = max(left.version, table.memories.get(key, left).version)
            taken, left.operations = left.operations, None
            self._advance(left, by_integration)
        if row is None:
            self._send(entity, str(former), "deleted", table.memories[str(former)], {})
            return
        memory = table.memories.setdefault(key, Memory())
        if former is None and memory.fingerprint == _fingerprint(row) and not memory.deleted:
            self._note(memory, operation)
            return
        if memory.pk != pk:
            memory.former_keys = [*table.memories[former].former_keys, former] if former is not None else []
            memory.operations = taken if former is not None else None if memory.revision else []
        if former is not None:
            memory.version = max(memory.version, table.memories[former].version - TICK)
        memory.pk, memory.fingerprint, memory.deleted = pk, _fingerprint(row), False
        self._advance(memory, by_integration)
        self._note(memory, operation)
        if former is not None:
            self._send(entity, key, "renamed", memory, {"old_key": former, "fields": dict(row)})
        else:
            fields = {name: value for name, value in row.items() if said is None or name in said}
            self._send(entity, key, "upserted", memory, {"fields": fields})

    @staticmethod
    def _note(memory: Memory, operation: str | None) -> None:
        if operation is not None:
            memory.operations = [*(memory.operations or ()), operation][-OPERATIONS:]

    def _advance(self, memory: Memory, by_integration: bool) -> None:
        memory.revision += 1
        memory.version = max(self._clock(), memory.version + TICK)
        memory.modified_at = self._clock()
        memory.by_integration = by_integration

    def _send(self, entity: str, key: str, what: str, memory: Memory, data: dict[str, Any]) -> None:
        sequence = len(self.outbox) + 1
        event = {
            "specversion": "1.0",
            "id": str(UUID(int=self._rng.getrandbits(128), version=4)),
            "source": "/energy-cmms",
            "type": f"energy.{entity}.{what}",
            "subject": key,
            "time": instant(self._clock()),
            "datacontenttype": "application/json",
            "data": {
                "key": key,
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


def _names(memory: Memory) -> dict[str, Any]:
    names = {"renombrado_a": memory.renamed_to, "claves_anteriores": memory.former_keys}
    return {name: known for name, known in names.items() if known}


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
