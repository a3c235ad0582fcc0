"""Both sides of some records and the ledger between them, as of one moment: for sync, reconcile and show alike."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.domain.decide import Candidate, Snapshot
from shared.domain.decide.in_doubt import resolve_in_doubt
from shared.domain.link import Identity, Link, Stored
from shared.domain.model import NO_RECORD, CmmsRecord, DynamicsRecord
from shared.domain.schema.mapping import EntityMapping
from shared.errors import KeyNotUsable, LedgerUnreadable, MappingError, NoEffect
from shared.flows.ports.engine import Cmms, Dynamics, Ledger
from shared.flows.sync.field_versions import remembered
from shared.flows.sync.high_water import HighWaterMarks
from shared.flows.sync.reads import Reads

type Unusable = LedgerUnreadable | MappingError
"""Why there is no snapshot: the ledger's row or the CMMS's record has an unknown form."""


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
class _Look:
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


class Snapshots:
    """Takes snapshots. Without the CMMS's API, its side is what the link remembers of the messages."""

    def __init__(self, ledger: Ledger, dynamics: Dynamics, cmms: Cmms | None) -> None:
        self._ledger = ledger
        self._dynamics = dynamics
        self._cmms = cmms
        self.high_water = HighWaterMarks(ledger)

    async def links(self, entity: EntityMapping, subjects: Sequence[Subject]) -> list[Stored | LedgerUnreadable]:
        """The link of each subject, in order; a new one, without etag, where the ledger holds none."""
        reads = self.reads(entity)
        await reads.ask_links(name for subject in subjects if subject.stored is None for name in subject.names)

        def link_of(subject: Subject) -> Stored | LedgerUnreadable:
            known = [reads.links[name] for name in subject.names if name in reads.links]
            return subject.stored or [*known, Stored(link=subject.new_link)][0]

        return list(map(link_of, subjects))

    async def take(
        self, entity: EntityMapping, subjects: Sequence[Subject], now: datetime
    ) -> list[Snapshot | Unusable]:
        """Read the ledger first, then both sides, in bulk; then resolve the writes in doubt.

        Returns:
            For each subject, in order, its snapshot or why there is none.

        Raises:
            TransientError: A side or the ledger could not be read.
        """
        links = await self.links(entity, subjects)
        looks = [
            _Look(subject, stored, subject.link or stored.link) if isinstance(stored, Stored) else stored
            for subject, stored in zip(subjects, links, strict=True)
        ]
        reads = self.reads(entity)
        reads.high_water = await self.high_water.of(entity.name, now)
        await self._read(reads, [look for look in looks if isinstance(look, _Look)])
        return [self._snapshot(entity, look, reads, now) if isinstance(look, _Look) else look for look in looks]

    def reads(self, entity: EntityMapping) -> Reads:
        """What was read of an entity's records: nothing yet."""
        return Reads(entity, self._ledger, self._dynamics, self._cmms)

    async def _read(self, reads: Reads, looks: Sequence[_Look]) -> None:
        """Both sides by id, and by key where an id is not enough; then the links of the rows that were met there."""
        # The hinted keys save a second question where nothing is known of a row yet.
        hints = [look.subject.key_hint for look in looks if look.link.row_id is None or look.subject.key_taken]
        await asyncio.gather(
            reads.ask_records(look.link.cmms_id for look in looks),
            reads.ask_rows(look.link.row_id for look in looks),
            reads.ask_rows_by_key(hints),
        )
        await reads.ask_records_by_key(reads.row(look.link).key for look in looks if look.has_no_record)
        await reads.ask_rows_by_key(look.key(reads) for look in looks)
        await self._holders(looks, reads)
        await self._hide(looks, reads)

    async def _holders(self, looks: Sequence[_Look], reads: Reads) -> None:
        """The links of rows and records that were met by key, and the records of such rows."""
        near = [row for look in looks for row in reads.rows_by_key.get(look.key(reads), ())]
        met = [Identity("row", row.id) for row in near]
        named = [one.id for one in reads.records_by_key.values() if isinstance(one, CmmsRecord)]
        await reads.ask_links([*met, *(Identity("cmms", one) for one in named)])
        await reads.ask_records(holder.link.cmms_id for holder in map(reads.holder, met) if holder is not None)

    async def _hide(self, looks: Sequence[_Look], reads: Reads) -> None:
        """Take out what our user is not allowed to read: a secured column reads as null, and that is not an edit."""
        # A value that was there and is not any more is worth a question of its own; else what was heard will do.
        lost = any(_lost_a_value(look.link, reads.row(look.link)) or _takes_over(look, reads) for look in looks)
        if not lost and not any(_may_hide(look, reads) for look in looks):
            return
        unreadable = await self._dynamics.unreadable(reads.entity, fresh=lost)
        hidden = {name for name, rule in reads.entity.fields.items() if not unreadable.isdisjoint(rule.read_columns())}
        if not hidden:
            return
        reads.rows = {name: _without(hidden, row) for name, row in reads.rows.items()}
        reads.rows_by_key = {key: [_without(hidden, row) for row in found] for key, found in reads.rows_by_key.items()}

    def _snapshot(self, entity: EntityMapping, look: _Look, reads: Reads, now: datetime) -> Snapshot | Unusable:
        record, row, link = look.record(reads), reads.row(look.link), look.link
        if isinstance(record, MappingError):
            return record
        near = reads.rows_by_key.get(look.key(reads), ())
        candidates = [self._candidate(other, reads) for other in near if other.id != link.row_id]
        waiting = _waiting(record, candidates) if look.stored.etag is None else None
        if waiting is not None:
            stored, row = waiting
            link = stored.link.model_copy(update={"cmms_id": record.id})
            link = resolve_in_doubt(entity, link, record, row, now)
            return Snapshot(stored, link, record, row, high_water=reads.high_water)
        rival = reads.holder(Identity("cmms", record.id)) if look.has_no_record else None
        record = record if rival is None else NO_RECORD
        if rival is not None and rival.link.row_id == link.row_id:
            rival = None  # another worker has linked the two since the link was read: the first write loses its race
        link = resolve_in_doubt(entity, link, record, row, now)
        return Snapshot(look.stored, link, record, row, candidates, rival, high_water=reads.high_water)

    def _candidate(self, row: DynamicsRecord, reads: Reads) -> Candidate:
        holder = reads.holder(Identity("row", row.id))
        if holder is None:
            return Candidate(row)
        if self._cmms is None:
            return Candidate(row, holder, remembered(holder.link))
        record = reads.records.get(holder.link.cmms_id or "")
        return Candidate(row, holder, record if isinstance(record, CmmsRecord) else NO_RECORD)


def _without(hidden: Collection[str], row: DynamicsRecord) -> DynamicsRecord:
    return replace(row, values={name: value for name, value in row.values.items() if name not in hidden})


def _may_hide(look: _Look, reads: Reads) -> bool:
    """Whether a row shows nothing where the CMMS holds a value, which would be written over what cannot be read."""
    record = look.record(reads)
    said = record.values if isinstance(record, CmmsRecord) else {}
    rows = [reads.row(look.link), *reads.rows_by_key.get(look.key(reads), ())]
    return any(said.get(name) is not None and value is None for row in rows for name, value in row.values.items())


def _takes_over(look: _Look, reads: Reads) -> bool:
    """Whether a deleted record's row has the record's key: all that it holds is the deleted one's."""
    rows = reads.rows_by_key.get(look.key(reads), ())
    holders = [reads.holder(Identity("row", row.id)) for row in rows if row.id != look.link.row_id]
    return any(holder is not None and holder.link.deleted_at is not None for holder in holders)


def _lost_a_value(link: Link, row: DynamicsRecord) -> bool:
    """Whether a row shows nothing where it held a value when both sides last agreed, or took one without effect."""
    gone = {name for name, value in row.values.items() if value is None}
    held = any(link.bases[name].dynamics is not None for name in gone & link.bases.keys())
    return held or any(link.parked[name].reason == NoEffect.reason for name in gone & link.parked.keys())


def _waiting(record: CmmsRecord, candidates: Sequence[Candidate]) -> tuple[Stored, DynamicsRecord] | None:
    """The link and the row whose record is just being made: the record that has appeared under the row's key."""
    own = [(one.holder, one.row) for one in candidates if one.holder is not None and one.row.key == record.key]
    return own[0] if len(own) == 1 and own[0][0].link.cmms_id is None else None
