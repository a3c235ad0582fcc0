"""What a decision is made from: the ledger's link and both sides as read after it, and what the messages said."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct, field

from shared.domain.blocked import Blocked
from shared.domain.link import Link, Stored
from shared.domain.model import NO_RECORD, NO_ROW, CmmsRecord, DynamicsRecord, Side
from shared.domain.schema.mapping import EntityMapping

PATIENCE: Final = 5
"""Attempts (about three minutes) for which a side may lag before what it shows, or leaves out, is believed."""
WAITING: Final = 10
"""Attempts (about half an hour) for which another record's row may hold a key before a person is asked."""


NO_HOLDER: Final = Stored(link=Link())
"""Stands for the link of a row or record that no link has."""


class Candidate(Struct, frozen=True):
    """A row that Dynamics takes for the record's key, or that the record was made from, and that no link says is its.

    `holder` is the link of that row, and `record` what the CMMS shows of the holder.
    """

    row: DynamicsRecord
    holder: Stored = NO_HOLDER
    record: CmmsRecord = NO_RECORD

    @property
    def is_free(self) -> bool:
        """Whether no link has the row."""
        return self.holder is NO_HOLDER

    @property
    def is_abandoned(self) -> bool:
        """Whether the CMMS deleted the record whose row this is."""
        return self.holder.link.is_deleted(self.record)


NO_CANDIDATE: Final = Candidate(NO_ROW)
"""Stands for the row that a record was made from, where it was made from none."""


class Snapshot(Struct, frozen=True):
    """One record as of one moment: the link first, then both sides, with in-doubt writes resolved in the link.

    `stored` is the link as the ledger holds it, with its etag (None where the ledger does not hold it yet); `link` is
    the same with what messages added in one-way mode, and with the writes in doubt resolved.
    `candidates` are read only where the record's own row is unknown or gone, or where its key was refused as taken.
    `rival` is set where the row has no record yet, and the CMMS's record with the row's key has a link of its own.
    `restored` names the sides that went on from a backup, or seem to: until when what was seen there was taken back.
    """

    stored: Stored
    link: Link
    cmms: CmmsRecord = NO_RECORD
    row: DynamicsRecord = NO_ROW
    candidates: Sequence[Candidate] = ()
    rival: Stored = NO_HOLDER
    restored: Mapping[Side, datetime] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The key by which people find the record: as the link knows it, else as a side shows it."""
        return self.link.key or self.cmms.key or self.row.key

    @property
    def origin(self) -> Candidate:
        """The candidate that the record was made from; `NO_CANDIDATE` where there is none."""
        return next((one for one in self.candidates if self.cmms.was_made_from(one.row.id)), NO_CANDIDATE)

    @property
    def exact(self) -> Sequence[Candidate]:
        """The candidates that may be the record's row: the one that it was made from, else those with its very key."""
        of_this_key = [one for one in self.candidates if one.row.key == self.cmms.key]
        return of_this_key if self.origin is NO_CANDIDATE else [self.origin]


class Context(Struct, frozen=True):
    """What a decision depends on beside the snapshot.

    Args:
        entity: The record's mapping.
        now: The instant for conflict records, in UTC.
        one_way: The CMMS cannot be read or written: its side is what its messages said.
        said_deleted: A message said that the CMMS deleted the record.
        said_row_gone: A message said that the row was deleted in Dynamics.
        recreate: An operator ordered that a row which is gone, or was replaced, is taken for new.
        insists_on: The reasons for which messages were parked that a person replays, and the digests of the values at
            fault: what was parked for these reasons is sent again, and nothing else.
        refused: What a side refused moments ago; left out and parked, as long as it would be sent again.
        attempts: How often the most tried message of the record failed before.
        key_taken: Dynamics refused the record's key moments ago, because another row holds it.
        prefer: The side whose values an operator chose for fields that meet for the first time and differ.
        prefer_fields: The same by field, before `prefer`.
    """

    entity: EntityMapping
    now: datetime
    one_way: bool = False
    said_deleted: bool = False
    said_row_gone: bool = False
    recreate: bool = False
    insists_on: frozenset[str] = frozenset()
    refused: Sequence[Blocked] = ()
    attempts: int = 0
    key_taken: bool = False
    prefer: Side | None = None
    prefer_fields: Mapping[str, Side] = field(default_factory=dict)
