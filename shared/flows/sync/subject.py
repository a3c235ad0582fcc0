"""What to take a snapshot of, and what a look at it has read so far."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.domain.link import Identity, Link, Stored
from shared.domain.model import NO_RECORD, CmmsRecord, DynamicsRecord
from shared.errors import KeyNotUsable, LedgerUnreadable, MappingError
from shared.flows.sync.reads import Reads


@dataclass(frozen=True)
class Subject:
    """A record to take a snapshot of.

    `key_hint` is the key under which a row may be looked for before the record is read. `stored` is the link where the
    ledger was read already. `link` and `record` are what the messages make of it in one-way mode. `key_taken` asks for
    the rows that have the record's key although its own row is known.
    """

    identity: Identity
    key_hint: str | None = None
    stored: Stored | LedgerUnreadable | None = None
    link: Link | None = None
    record: CmmsRecord | None = None
    key_taken: bool = False

    @property
    def names(self) -> tuple[Identity, ...]:
        """The identities to ask the ledger for: a link may still be known by its key alone."""
        if self.identity.kind == "cmms" and self.key_hint is not None:
            return (self.identity, Identity("key", self.key_hint))
        return (self.identity,)

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


@dataclass(frozen=True)
class Look:
    """A subject with its link as stored, and as messages changed it."""

    subject: Subject
    stored: Stored
    link: Link

    @property
    def has_no_record(self) -> bool:
        """Whether only the row's key may tell which record the row is of."""
        return self.link.cmms_id is None and self.subject.record is None

    def record(self, reads: Reads) -> CmmsRecord | MappingError:
        """What the CMMS shows: by the link's id, else by its row's key."""
        if self.subject.record is not None:
            return self.subject.record
        if self.link.cmms_id is not None:
            return reads.records.get(self.link.cmms_id, NO_RECORD)
        return reads.records_by_key.get(reads.row(self.link).key, NO_RECORD)

    def key(self, reads: Reads) -> str:
        """The key under which other rows may stand in the way of the record, or be the record's; "" for none."""
        record = self.record(reads)
        if isinstance(record, MappingError) or not record.living:
            return ""
        asked = self.subject.key_taken or self.link.park_of(reads.entity.key.name).reason == KeyNotUsable.reason
        return record.key if asked or not reads.row(self.link).exists else ""

    def origins(self, reads: Reads) -> Sequence[str]:
        """The ids of the rows that a record without one may have been made from: its operations."""
        record = self.record(reads)
        if isinstance(record, MappingError) or reads.row(self.link).exists:
            return ()
        return record.operations or ()

    def near(self, reads: Reads) -> Sequence[DynamicsRecord]:
        """The rows that may stand in the way of the record, or be the record's."""
        origins = [reads.rows[name] for name in self.origins(reads) if name in reads.rows]
        found = {row.id: row for row in (*origins, *reads.rows_by_key.get(self.key(reads), ()))}
        return [row for row in found.values() if row.id != self.link.row_id]
