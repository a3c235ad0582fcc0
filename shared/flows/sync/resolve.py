"""Which record each message is about. A message that names nothing which exists is parked."""

import asyncio
from collections.abc import Collection, Sequence

from shared.domain.link import Identity
from shared.domain.model import CmmsRecord
from shared.domain.schema.mapping import EntityMapping
from shared.errors import InvalidMessage, KeyNotUsable, MappingError, NotYetVisible
from shared.flows.routing.outcomes import Again, Done, Outcome, Park
from shared.flows.sync.deliveries import Delivery
from shared.flows.sync.reads import Reads
from shared.flows.sync.step import Round
from shared.flows.sync.work import Work


async def resolve(entity: EntityMapping, deliveries: Sequence[Delivery], reads: Reads) -> Round:
    """Find the record of each message: by row id or CMMS id in the ledger, else by what both sides show.

    Returns:
        One open work for each record, and the ends of the messages that name none. A row that no link knows, and whose
        key a CMMS record has, is that record's work. `reads` holds what the ledger was asked for.

    Raises:
        TransientError: A side or the ledger could not be read.
    """
    asked = _identities(deliveries, one_way=reads.one_way)
    await reads.ask_who_is_down(
        {one.cmms_id for one in deliveries}, {one.key for one in deliveries}, {one.row_id for one in deliveries}
    )
    await _read(entity, deliveries, asked, reads)
    found = [(delivery, _identify(entity, delivery, reads)) for delivery in deliveries]
    works = _grouped([(one, identity) for one, identity in found if isinstance(identity, Identity)], reads)
    outcomes = {one.place: end for one, end in found if not isinstance(end, Identity)}
    return Round(outcomes, works)


async def _read(
    entity: EntityMapping, deliveries: Sequence[Delivery], asked: Collection[Identity], reads: Reads
) -> None:
    """Read links first; then, for what the ledger does not know, rows by id, and both sides by key."""
    await reads.ask_links(asked)
    unlinked = [one for one in deliveries if one.cmms_id is None and one.identity not in reads.links]
    await reads.ask_rows(one.row_id for one in unlinked)
    # In one-way mode, the key of a message of the CMMS is its record's identity: a producer may know no ids.
    named = {one.key for one in unlinked if one.row_id is None and not (reads.one_way and one.operation is None)}
    row_keys = {row.key for row in reads.rows.values() if entity.key_error(row.key) is None}
    await asyncio.gather(reads.ask_records_by_key(named | row_keys), reads.ask_rows_by_key(named))
    await reads.ask_links(Identity("row", row.id) for rows in reads.rows_by_key.values() for row in rows)


def _grouped(found: Sequence[tuple[Delivery, Identity]], reads: Reads) -> tuple[Work, ...]:
    """One work for each record, whichever of its identities its messages name."""
    grouped: dict[Identity, list[Delivery]] = {}
    for delivery, identity in found:
        holder = reads.holder(identity)
        first = identity if holder is None else holder.link.identities[0]
        grouped.setdefault(first, []).append(delivery)
    return tuple(_work(identity, deliveries) for identity, deliveries in grouped.items())


def _work(identity: Identity, deliveries: Sequence[Delivery]) -> Work:
    hint = next((one.key for one in reversed(deliveries) if one.key is not None), None)
    return Work(identity, tuple(deliveries), key_hint=hint)


def _identities(deliveries: Sequence[Delivery], *, one_way: bool) -> Collection[Identity]:
    """What the ledger is asked for: a link may still be known by its key alone."""
    found = {one.identity for one in deliveries if one.identity is not None}
    by_key = [one.key for one in deliveries if one.key is not None and (one_way or one.cmms_id is not None)]
    return found | {Identity("key", key) for key in by_key}


def _identify(entity: EntityMapping, delivery: Delivery, reads: Reads) -> Identity | Outcome:
    """The identity of a message's record, or the message's end where there is none."""
    identity = delivery.identity
    if identity is None:
        return _by_its_key(delivery, reads)
    if identity.kind == "cmms" or identity in reads.links:
        return identity
    row = reads.rows.get(identity.value)
    if row is None and delivery.operation == "delete":
        return Done(applied=False)  # created and deleted before the ledger ever knew the row
    if row is None:
        return Again(unreadable_row(entity, identity.value))
    if entity.key_error(row.key) is not None:
        return Park(_unusable_row_key(entity, identity.value))
    return _of_record(reads.records_by_key.get(row.key)) or identity


def _by_its_key(delivery: Delivery, reads: Reads) -> Identity | Outcome:
    key = delivery.key or ""
    if reads.one_way and (delivery.operation is None or Identity("key", key) in reads.links):
        return Identity("key", key)
    if (found := _of_record(reads.records_by_key.get(key))) is not None:
        return found
    rows = [row for row in reads.rows_by_key.get(key, ()) if row.key == key]
    if rows:
        return Identity("row", rows[0].id)
    if delivery.operation is None:
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


def _unusable_row_key(entity: EntityMapping, row_id: str) -> KeyNotUsable:
    """Say that a Dynamics row has no key by which the CMMS could know it."""
    return KeyNotUsable(
        f"The row {row_id} in {entity.table} has no usable {entity.key.column}: fill it in there and replay this"
        " message.",
        field=entity.key.name,
    )
