"""Which record each message is about. A message that names nothing which exists is parked."""

import asyncio
from collections.abc import Sequence

from shared.domain.link import Identity
from shared.domain.model import CmmsRecord
from shared.domain.schema.mapping import EntityMapping
from shared.errors import InvalidMessage, KeyNotUsable, MappingError, NotYetVisible
from shared.flows.routing.outcomes import Again, Done, Outcome, Park
from shared.flows.sync.deliveries import Delivery, Outcomes
from shared.flows.sync.reads import Reads
from shared.flows.sync.step import Round
from shared.flows.sync.work import Work


async def resolve(deliveries: Sequence[Delivery], reads: Reads) -> Round:
    """Find the record of each message: by row id or CMMS id in the ledger, else by what both sides show.

    Returns:
        One open work for each record, and the ends of the messages that name none. A row that no link knows, and whose
        key a CMMS record has, is that record's work. `reads` holds what the ledger was asked for.

    Raises:
        TransientError: A side or the ledger could not be read.
    """
    await reads.ask_who_is_down(
        {one.cmms_id for one in deliveries}, {one.key for one in deliveries}, {one.row_id for one in deliveries}
    )
    await _read(deliveries, reads)
    outcomes: Outcomes = {}
    grouped: dict[Identity, list[Delivery]] = {}
    for delivery in deliveries:
        found = _identify(delivery, reads)
        if isinstance(found, Identity):
            grouped.setdefault(reads.stored_under(found), []).append(delivery)
        else:
            outcomes[delivery.place] = found
    return Round(outcomes, tuple(_work(identity, some, reads) for identity, some in grouped.items()))


async def _read(deliveries: Sequence[Delivery], reads: Reads) -> None:
    """Read links first; then, for what the ledger does not know, rows by id, and both sides by key."""
    await reads.ask_links(name for one in deliveries for name in one.identity.names(one.key))
    unknown = [one for one in deliveries if not _is_known(one, reads)]
    await reads.ask_rows(one.row_id for one in unknown)
    named = {one.key for one in unknown if one.identity.kind == "key"}
    row_keys = {row.key for row in reads.rows.values() if reads.entity.key_error(row.key) is None}
    await asyncio.gather(reads.ask_records_by_key(named | row_keys), reads.ask_rows_by_key(named))
    await reads.ask_links(Identity("row", row.id) for rows in reads.rows_by_key.values() for row in rows)


def _work(identity: Identity, deliveries: Sequence[Delivery], reads: Reads) -> Work:
    hint = next(filter(None, (one.key for one in reversed(deliveries))), None)
    met = {name: reads.rows[name].key for one in deliveries if (name := one.identity.value) in reads.rows}
    return Work(identity, tuple(deliveries), key_hint=hint, met_by=met)


def _is_known(delivery: Delivery, reads: Reads) -> bool:
    """Whether the message and the ledger tell the record's identity, so that no side needs to be asked for it."""
    match delivery.identity.kind:
        case "cmms":
            return True
        case "key" if not reads.one_way:
            return False
    # In one-way mode, the key of a message of the CMMS is its record's identity: a producer may know no ids.
    return delivery.operation is None or reads.has_link(delivery.identity)


def _identify(delivery: Delivery, reads: Reads) -> Identity | Outcome:
    """The identity of a message's record, or the message's end where there is none."""
    identity = delivery.identity
    if _is_known(delivery, reads):
        return identity
    return _by_its_row(delivery, reads) if identity.kind == "row" else _by_its_key(delivery, reads)


def _by_its_row(delivery: Delivery, reads: Reads) -> Identity | Outcome:
    entity, identity = reads.entity, delivery.identity
    row = reads.rows.get(identity.value)
    if row is None:
        unseen = Again(unreadable_row(entity, identity.value))
        # A row may have been created and deleted before the ledger ever knew it.
        return Done() if delivery.operation == "delete" else unseen
    if entity.key_error(row.key) is not None:
        return Park(_unusable_row_key(entity, identity.value))
    return _of_record_with(row.key, reads, identity)


def _by_its_key(delivery: Delivery, reads: Reads) -> Identity | Outcome:
    key = delivery.identity.value
    rows = (Identity("row", row.id) for row in reads.rows_by_key.get(key, ()) if row.key == key)
    return _of_record_with(key, reads, next(rows, _unknown_key(delivery)))


def _of_record_with(key: str, reads: Reads, otherwise: Identity | Outcome) -> Identity | Outcome:
    """The identity of the CMMS's record with a key, or why it cannot be read; `otherwise` where there is none."""
    match reads.records_by_key.get(key):
        case CmmsRecord(id=record_id):
            return Identity("cmms", record_id)
        case MappingError() as error:
            return Park(error)
    return otherwise


def _unknown_key(delivery: Delivery) -> Outcome:
    """The end of a message whose key no side shows: what the CMMS announced may appear yet."""
    key = delivery.identity.value
    if delivery.operation is None:
        return Again(
            NotYetVisible(f"Neither side shows a record with the key {key} yet. Messages should carry data.id.")
        )
    return Park(
        InvalidMessage(f"Neither side has a record with the key {key}: correct the key, or discard the message.")
    )


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
