"""The messages of one record on their way through a batch, and what earlier rounds of the batch found out about it."""

from collections.abc import Mapping
from copy import replace
from datetime import datetime
from types import MappingProxyType

from msgspec import Struct

from shared.domain.blocked import Blocked
from shared.domain.decide import Context
from shared.domain.decide.refused import ROWLESS
from shared.domain.link import Identity, Link
from shared.domain.messages.events import DeletedData
from shared.domain.model import CmmsRecord
from shared.domain.schema.mapping import EntityMapping
from shared.errors import TransientError
from shared.flows.routing.outcomes import Outcome, WrittenFields
from shared.flows.sync.deliveries import Delivery, Outcomes


class Work(Struct, frozen=True):
    """A record to look at, with its open messages.

    `identity` finds the record's link. `key_hint` is the key that a message gave, under which a row may be looked for
    before the record is read. `met_by` are the keys by which rows that messages name, and no link knew, were found to
    be the record's, by row id. `refused` is what a side refused in this batch, `parked` what was parked in it, by field
    and digest, `written` what was written. `lost` is why the last round has to be repeated.
    """

    identity: Identity
    deliveries: tuple[Delivery, ...] = ()
    key_hint: str | None = None
    met_by: Mapping[str, str] = MappingProxyType({})
    refused: tuple[Blocked, ...] = ()
    parked: frozenset[tuple[str, str]] = frozenset()
    written: WrittenFields = frozenset()
    key_taken: bool = False
    lost: TransientError | None = None

    @property
    def name(self) -> str:
        """The record's name for people."""
        return self.key_hint or self.identity.value

    @property
    def insists_on(self) -> frozenset[str]:
        """What a person's replay ends, and the reasons of which only a write tells whether they are over."""
        return ROWLESS.union(*(one.insists_on for one in self.deliveries))

    @property
    def attempts(self) -> int:
        """How often the most tried of the messages failed before."""
        return max(delivery.event.attempt for delivery in self.deliveries)

    @property
    def names(self) -> tuple[Identity, ...]:
        """The identities to ask the ledger for."""
        return self.identity.names(self.key_hint)

    @property
    def new_link(self) -> Link:
        """The link of a record that the ledger does not know."""
        match self.identity:
            case ("cmms", value):
                return Link(cmms_id=value, key=self.key_hint or "")
            case ("row", value):
                return Link(row_id=value)
            case (_, value):
                return Link(key=value, by_key=True)

    def has_left(self, delivery: Delivery, record: CmmsRecord) -> bool:
        """Whether the row that a message names was met by a key that no living record has any more."""
        met_by = self.met_by.get(delivery.identity.value)
        return met_by is not None and record.exists and (record.deleted or met_by != record.key)

    def ends(self, outcome: Outcome) -> Outcomes:
        """Give every message the same end."""
        return {delivery.place: outcome for delivery in self.deliveries}

    def without(self, ended: Outcomes) -> "Work":
        """The work for the messages that are still open."""
        return replace(self, deliveries=tuple(one for one in self.deliveries if one.place not in ended))

    def context(self, entity: EntityMapping, now: datetime, *, one_way: bool) -> Context:
        """What a decision about the record depends on beside both sides and the ledger."""
        payloads = [delivery.payload for delivery in self.deliveries]
        orders = {one.operation for one in payloads}
        return Context(
            entity=entity,
            now=now,
            one_way=one_way,
            said_deleted=any(isinstance(one, DeletedData) for one in payloads),
            said_row_gone="delete" in orders,
            recreate="recreate" in orders,
            insists_on=self.insists_on,
            refused=self.refused,
            attempts=self.attempts,
            key_taken=self.key_taken,
            prefer=next(filter(None, (one.prefer for one in reversed(payloads))), None),
            prefer_fields={name: side for one in payloads for name, side in one.prefer_fields.items()},
        )
