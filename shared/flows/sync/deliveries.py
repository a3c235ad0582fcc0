"""The messages of a batch, read one by one. A bad message is parked alone, whatever is wrong with it."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from shared.domain.link import Identity, known_identities
from shared.domain.messages.ahead import check_version
from shared.domain.messages.events import (
    DeletedData,
    DirtyData,
    Event,
    Operation,
    Payload,
    RenamedData,
    UpsertedData,
    parse_event,
)
from shared.domain.messages.history import read_history
from shared.domain.model import Version
from shared.domain.schema.mapping import EntityMapping
from shared.errors import InvalidMessage, PermanentError
from shared.flows.routing.outcomes import Outcome, Park

type Outcomes = dict[int, Outcome]
"""The ends of messages, by their places in the batch."""


class Delivery(Struct, frozen=True):
    """One message of a batch. `place` is its number there; `row_id`, `cmms_id` and `key` name its record."""

    place: int
    body: bytes
    event: Event
    payload: Payload
    row_id: str | None = None
    cmms_id: str | None = None
    key: str | None = None

    @property
    def version(self) -> Version | None:
        """The CMMS version that the message announces; None where it announces none."""
        return self.payload.as_version(self.event.time)

    @property
    def operation(self) -> Operation | None:
        """What a dirty message announces or orders; None for a message of the CMMS."""
        return self.payload.operation

    @property
    def is_replay(self) -> bool:
        """Whether an operator has just sent the message again from `parked`; its retries have attempts again."""
        return bool(self.event.history) and not self.event.attempt and not self.event.deferrals

    @property
    def insists_on(self) -> frozenset[str]:
        """The reason for which the message was parked, where an operator has just sent it again: it is over.

        For a field, the digest of the value at fault as well: meanwhile the field may wait for another one.
        """
        told = read_history(self.event.history)[-1:] if self.is_replay else ()
        return frozenset(str(one[name]) for one in told for name in ("reason", "digest") if name in one)

    @property
    def identity(self) -> Identity:
        """The immutable name of the record where the message has one, else its key: every message names a record."""
        return (known_identities(self.cmms_id, self.row_id) or known_identities(key=self.key))[0]


class Unread(Struct, frozen=True):
    """A message that cannot be used: parked as it is. `event` and `key` tell what could be read of it."""

    place: int
    body: bytes
    event: Event | None
    key: str | None
    outcome: Park


def read_deliveries(
    entity: EntityMapping, bodies: Sequence[bytes], now: datetime, *, one_way: bool = False
) -> tuple[list[Delivery], list[Unread]]:
    """Parse a batch; in one-way mode, what a message of the CMMS says must have a version that can count.

    Returns:
        The messages that name a record, and those that cannot be used, with the reason for which they are parked.
    """
    read: list[Delivery] = []
    bad: list[Unread] = []
    for place, body in enumerate(bodies):
        event = key = None
        try:
            event = parse_event(body)
            payload = event.payload(entity)
            row_id, cmms_id, key = _names(entity, payload)
            delivery = Delivery(place, body, event, payload, row_id, cmms_id, key)
            if one_way and delivery.operation is None:
                check_version(delivery.version, now)
            read.append(delivery)
        except PermanentError as error:
            bad.append(Unread(place, body, event, key, Park(error)))
    return read, bad


def _names(entity: EntityMapping, payload: Payload) -> tuple[str | None, str | None, str | None]:
    """The id of the row, the id of the record and the business key, as far as the message names them."""
    if isinstance(payload, DirtyData):
        row_id = str(payload.record_id) if payload.record_id is not None else None
        # A key beside an identity is for people, and need not be usable.
        identified = known_identities(payload.cmms_id, row_id)
        return row_id, payload.cmms_id, payload.key if identified else entity.usable_key(payload.key)
    key = _key(entity, payload)
    if isinstance(payload, RenamedData) and payload.id is None:
        raise InvalidMessage(
            "A renamed message needs data.id, the CMMS's own id of the record: without it nothing tells which record"
            " has the new key."
        )
    return None, payload.id, key


def _key(entity: EntityMapping, payload: UpsertedData | DeletedData) -> str:
    said = {one for one in (payload.key, payload.fields.get(entity.key.name)) if isinstance(one, str)}
    if not said:
        raise InvalidMessage(f"The message names no record: data.key or {entity.key.name} is needed.")
    if len(said) > 1:
        raise InvalidMessage(f"The message names two records: data.key and {entity.key.name} differ.")
    return entity.usable_key(said.pop())
