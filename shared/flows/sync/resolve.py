"""Which record each message is about. A message that names nothing which exists is parked."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from shared.domain.link import Identity, Link, Stored
from shared.domain.model import CmmsRecord, DynamicsRecord
from shared.domain.schema.mapping import EntityMapping
from shared.errors import InvalidMessage, KeyNotUsable, LedgerUnreadable, MappingError, NotYetVisible
from shared.flows.ports.engine import Cmms, Dynamics, Ledger
from shared.flows.routing.outcomes import Again, Done, Outcome, Park
from shared.flows.sync.deliveries import Delivery, Outcomes
from shared.flows.sync.work import Work

type Memory = Mapping[Identity, Stored | LedgerUnreadable]
"""What the ledger answered, by the identity asked for."""


@dataclass(frozen=True)
class Resolved:
    """The messages by record, and the ends of those that name none.

    `memory` is what the ledger holds of the records; one that it was asked for and does not hold has no etag.
    """

    works: Sequence[Work] = ()
    outcomes: Outcomes = field(default_factory=dict)
    memory: Memory = field(default_factory=dict)


@dataclass(frozen=True)
class _Read:
    """What was read to find records by anything but an identity that the ledger knows."""

    memory: Memory
    rows: Mapping[str, DynamicsRecord]
    records: Mapping[str, CmmsRecord | MappingError]
    rows_by_key: Mapping[str, Sequence[DynamicsRecord]]

    def link(self, identity: Identity) -> Link | None:
        """The link with this identity, as far as the ledger can tell."""
        stored = self.memory.get(identity)
        return stored.link if isinstance(stored, Stored) else None


async def resolve(
    entity: EntityMapping, deliveries: Sequence[Delivery], ledger: Ledger, dynamics: Dynamics, cmms: Cmms | None
) -> Resolved:
    """Find the record of each message: by row id or CMMS id in the ledger, else by what both sides show.

    Returns:
        One work for each record. A row that no link knows, and whose key a CMMS record has, is that record's work.

    Raises:
        TransientError: A side or the ledger could not be read.
    """
    asked = _identities(deliveries, one_way=cmms is None)
    memory = await ledger.find(entity.name, asked)
    unlinked = {one.row_id for one in deliveries if one.row_id and one.identity not in memory and one.cmms_id is None}
    rows = await dynamics.by_id(entity, sorted(unlinked)) if unlinked else {}
    named = {one.key for one in deliveries if one.identity is None and one.key is not None and not _by_key(one, cmms)}
    keys = named | {row.key for row in rows.values() if entity.key_error(row.key) is None}
    records, rows_by_key = await asyncio.gather(_records(entity, cmms, keys), _rows(entity, dynamics, named))
    # A row that only its key names may have a link.
    linked = {Identity("row", row.id) for found in rows_by_key.values() for row in found} - memory.keys()
    if linked:
        memory = {**memory, **await ledger.find(entity.name, linked)}
    read = _Read(memory, rows, records, rows_by_key)
    outcomes: Outcomes = {}
    grouped: dict[Identity, list[Delivery]] = {}
    for delivery in deliveries:
        found = _identify(entity, delivery, read, one_way=cmms is None)
        if isinstance(found, Identity):
            link = read.link(found)
            grouped.setdefault(link.identities[0] if link is not None else found, []).append(delivery)
        else:
            outcomes[delivery.place] = found
    works = [_work(identity, found) for identity, found in grouped.items()]
    # The ledger's word that it does not hold a record is as good as a link: the first write is guarded by it.
    fresh = {work.identity: Stored(link=work.subject.new_link) for work in works if work.identity in asked}
    held = {name: stored for stored in memory.values() for name in _names(stored)}
    return Resolved(works, outcomes, {**fresh, **memory, **held})


def _names(stored: Stored | LedgerUnreadable) -> Sequence[Identity]:
    return stored.link.identities if isinstance(stored, Stored) else ()


def _work(identity: Identity, deliveries: Sequence[Delivery]) -> Work:
    hint = next((one.key for one in reversed(deliveries) if one.key is not None), None)
    return Work(identity, tuple(deliveries), key_hint=hint)


def _identities(deliveries: Sequence[Delivery], *, one_way: bool) -> Collection[Identity]:
    """What the ledger is asked for: a link may still be known by its key alone."""
    found = {one.identity for one in deliveries if one.identity is not None}
    by_key = {
        Identity("key", one.key) for one in deliveries if one.key is not None and (one_way or one.cmms_id is not None)
    }
    return found | by_key


def _by_key(delivery: Delivery, cmms: Cmms | None) -> bool:
    """Whether the message's key is its record's identity: in one-way mode, for a producer without ids."""
    return cmms is None and delivery.operation is None


async def _records(
    entity: EntityMapping, cmms: Cmms | None, keys: Collection[str]
) -> Mapping[str, CmmsRecord | MappingError]:
    return await cmms.by_key(entity, sorted(keys)) if cmms is not None and keys else {}


async def _rows(
    entity: EntityMapping, dynamics: Dynamics, keys: Collection[str]
) -> Mapping[str, Sequence[DynamicsRecord]]:
    return await dynamics.by_key(entity, sorted(keys)) if keys else {}


def _identify(entity: EntityMapping, delivery: Delivery, read: _Read, *, one_way: bool) -> Identity | Outcome:
    """The identity of a message's record, or the message's end where there is none."""
    identity = delivery.identity
    if identity is None:
        return _by_its_key(delivery, read, one_way=one_way)
    if identity.kind == "cmms" or identity in read.memory:
        return identity
    row = read.rows.get(identity.value)
    if row is None:
        if delivery.operation == "delete":
            return Done(applied=False)  # created and deleted before the ledger ever knew the row
        return Again(unreadable_row(entity, identity.value))
    if entity.key_error(row.key) is not None:
        return Park(unusable_row_key(entity, identity.value))
    return _of_record(read.records.get(row.key)) or identity


def _by_its_key(delivery: Delivery, read: _Read, *, one_way: bool) -> Identity | Outcome:
    key = delivery.key or ""
    if one_way and (delivery.operation is None or Identity("key", key) in read.memory):
        return Identity("key", key)
    if (found := _of_record(read.records.get(key))) is not None:
        return found
    row = next((row for row in read.rows_by_key.get(key, ()) if row.key == key), None)
    if row is not None:
        return Identity("row", row.id)
    if delivery.operation is None and not one_way:
        return Again(
            NotYetVisible(f"Neither side shows a record with the key {key} yet. Messages should carry data.id.")
        )
    return Park(
        InvalidMessage(f"Neither side has a record with the key {key}: correct the key, or discard the message.")
    )


def _of_record(record: CmmsRecord | MappingError | None) -> Identity | Outcome | None:
    if isinstance(record, MappingError):
        return Park(record)
    return Identity("cmms", record.id) if record is not None else None


def unreadable_row(entity: EntityMapping, row_id: str) -> NotYetVisible:
    """Say that Dynamics announced a row that cannot be read."""
    return NotYetVisible(
        f"The row {row_id} is not in {entity.set}: it may not be readable yet, or our application user may not be"
        " allowed to read it."
    )


def unusable_row_key(entity: EntityMapping, row_id: str) -> KeyNotUsable:
    """Say that a Dynamics row has no key by which the CMMS could know it."""
    return KeyNotUsable(
        f"The row {row_id} in {entity.table} has no usable {entity.key.column}: fill it in there and replay this"
        " message.",
        field=entity.key.name,
    )
