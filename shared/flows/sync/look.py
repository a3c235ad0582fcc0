"""A record that is looked at, with what was read of it so far."""

from collections.abc import Sequence

from msgspec import Struct

from shared.domain.decide import Candidate
from shared.domain.decide.in_doubt import is_of_another
from shared.domain.link import Identity, Link, Stored
from shared.domain.model import NO_RECORD, CmmsRecord, DynamicsRecord
from shared.errors import KeyNotUsable, LedgerUnreadable
from shared.flows.sync.reads import Reads, Unusable, readable
from shared.flows.sync.work import Work


class Look(Struct, frozen=True):
    """A record with its link as stored, and what is read of both sides: the properties tell what is there by now.

    In one-way mode, `link` is as messages changed it, `told` what they say. Where the ledger's link cannot be read,
    `told` is the reason, and a new link stands for it.
    """

    work: Work
    reads: Reads
    stored: Stored
    link: Link
    told: CmmsRecord | LedgerUnreadable | None = None

    @property
    def has_no_record(self) -> bool:
        """Whether the link names no record: if the CMMS can be asked, the row's key may tell which one it is of."""
        return self.link.cmms_id is None

    @property
    def row(self) -> DynamicsRecord:
        """What Dynamics shows: by the link's id."""
        return self.reads.row(self.link.row_id)

    @property
    def record(self) -> CmmsRecord | Unusable:
        """What the CMMS shows, by the link's id, else by its row's key; or why there is none to be judged."""
        if self.told is not None:
            return self.told
        if self.link.cmms_id is not None:
            return self.reads.records.get(self.link.cmms_id, NO_RECORD)
        found = self.reads.records_by_key.get(self.row.key, NO_RECORD)
        return NO_RECORD if is_of_another(self.link, readable(found)) else found

    @property
    def living(self) -> CmmsRecord:
        """The record where it can be read and is not deleted; else none."""
        record = readable(self.record)
        return record if record.living else NO_RECORD

    @property
    def key(self) -> str:
        """The key under which other rows may stand in the way of the record, or be the record's; "" for none."""
        asked = self.work.key_taken or self.link.park_of(self.reads.entity.key.name).reason == KeyNotUsable.reason
        return self.living.key if asked or not self.row.exists else ""

    @property
    def origins(self) -> Sequence[str]:
        """The ids of the rows that a record without one may have been made from: its operations."""
        return () if self.row.exists else self.living.operations or ()

    @property
    def near(self) -> Sequence[DynamicsRecord]:
        """The rows that may stand in the way of the record, or be the record's."""
        met = (*map(self.reads.row, self.origins), *self.reads.rows_by_key.get(self.key, ()))
        return list({row.id: row for row in met if row.exists and row.id != self.link.row_id}.values())

    @property
    def candidates(self) -> Sequence[Candidate]:
        """The same rows, with their own links and records."""
        return [self._candidate(row) for row in self.near]

    def _candidate(self, row: DynamicsRecord) -> Candidate:
        holder = self.reads.holder(Identity("row", row.id))
        return Candidate(row, holder, self.reads.record_of(holder.link))
