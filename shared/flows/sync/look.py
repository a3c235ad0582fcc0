"""What a look at a record has read so far."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.domain.decide.in_doubt import is_of_another
from shared.domain.link import Link, Stored
from shared.domain.model import NO_RECORD, CmmsRecord, DynamicsRecord
from shared.errors import KeyNotUsable, MappingError
from shared.flows.sync.reads import Reads
from shared.flows.sync.work import Work


@dataclass(frozen=True)
class Look:
    """A record with its link as stored; in one-way mode, `link` is as messages changed it, `said` what they say."""

    work: Work
    stored: Stored
    link: Link
    said: CmmsRecord | None = None

    @property
    def has_no_record(self) -> bool:
        """Whether only the row's key may tell which record the row is of."""
        return self.link.cmms_id is None and self.said is None

    def record(self, reads: Reads) -> CmmsRecord | MappingError:
        """What the CMMS shows: by the link's id, else by its row's key."""
        if self.said is not None:
            return self.said
        if self.link.cmms_id is not None:
            return reads.records.get(self.link.cmms_id, NO_RECORD)
        found = reads.records_by_key.get(reads.row(self.link).key, NO_RECORD)
        return NO_RECORD if isinstance(found, CmmsRecord) and is_of_another(self.link, found) else found

    def _living(self, reads: Reads) -> CmmsRecord:
        """The record where it can be read and is not deleted; else none."""
        record = self.record(reads)
        return record if isinstance(record, CmmsRecord) and record.living else NO_RECORD

    def key(self, reads: Reads) -> str:
        """The key under which other rows may stand in the way of the record, or be the record's; "" for none."""
        asked = self.work.key_taken or self.link.park_of(reads.entity.key.name).reason == KeyNotUsable.reason
        return self._living(reads).key if asked or not reads.row(self.link).exists else ""

    def origins(self, reads: Reads) -> Sequence[str]:
        """The ids of the rows that a record without one may have been made from: its operations."""
        operations = self._living(reads).operations
        return () if operations is None or reads.row(self.link).exists else operations

    def near(self, reads: Reads) -> Sequence[DynamicsRecord]:
        """The rows that may stand in the way of the record, or be the record's."""
        origins = [reads.rows[name] for name in self.origins(reads) if name in reads.rows]
        found = {row.id: row for row in (*origins, *reads.rows_by_key.get(self.key(reads), ()))}
        return [row for row in found.values() if row.id != self.link.row_id]
