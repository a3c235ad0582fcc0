"""Both sides of some records and the ledger between them, as of one moment: for sync, reconcile and show alike."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from shared.domain.decide import Candidate, Snapshot
from shared.domain.decide.in_doubt import resolve_in_doubt
from shared.domain.link import Identity, Link, Stored
from shared.domain.model import CmmsRecord, DynamicsRecord
from shared.domain.schema.mapping import EntityMapping
from shared.errors import LedgerUnreadable, MappingError, SyncError
from shared.flows.ports.engine import Cmms, Dynamics, Ledger
from shared.flows.sync.field_versions import remembered

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


@dataclass
class _Reads:
    """What was read: records and rows by id and by key, other records' links by identity."""

    records: dict[str, CmmsRecord | MappingError] = field(default_factory=dict)
    records_by_key: dict[str, CmmsRecord | MappingError] = field(default_factory=dict)
    rows: dict[str, DynamicsRecord] = field(default_factory=dict)
    rows_by_key: dict[str, Sequence[DynamicsRecord]] = field(default_factory=dict)
    links: dict[Identity, Stored | LedgerUnreadable] = field(default_factory=dict)

    def row(self, link: Link) -> DynamicsRecord | None:
        """The link's row."""
        return self.rows.get(link.row_id) if link.row_id is not None else None

    def record(self, look: _Look) -> CmmsRecord | MappingError | None:
        """What the CMMS shows: by the link's id, else by its row's key."""
        if look.subject.record is not None or look.link.cmms_id is not None:
            return look.subject.record or self.records.get(look.link.cmms_id or "")
        row = self.row(look.link)
        return self.records_by_key.get(row.key) if row is not None else None

    def key(self, look: _Look) -> str | None:
        """The key under which other rows may stand in the way of the record, or be the record's."""
        record = self.record(look)
        if not isinstance(record, CmmsRecord) or record.deleted:
            return None
        return record.key if look.subject.key_taken or self.row(look.link) is None else None

    def holder(self, identity: Identity) -> Stored | None:
        """Another record's link. One that cannot be read counts as none: its own messages park it."""
        found = self.links.get(identity)
        return found if isinstance(found, Stored) else None


class Snapshots:
    """Takes snapshots. Without the CMMS's API, its side is what the link remembers of the messages."""

    def __init__(self, ledger: Ledger, dynamics: Dynamics, cmms: Cmms | None) -> None:
        self._ledger = ledger
        self._dynamics = dynamics
        self._cmms = cmms

    async def links(self, entity: EntityMapping, subjects: Sequence[Subject]) -> list[Stored | LedgerUnreadable]:
        """The link of each subject, in order; a new one, without etag, where the ledger holds none."""
        wanted = {name for subject in subjects if subject.stored is None for name in subject.names}
        found = await self._ledger.find(entity.name, wanted) if wanted else {}

        def link_of(subject: Subject) -> Stored | LedgerUnreadable:
            known = [found[name] for name in subject.names if name in found]
            return subject.stored or (known[0] if known else Stored(link=subject.new_link))

        return [link_of(subject) for subject in subjects]

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
            _Look(subject, stored, subject.link or stored.link)
            for subject, stored in zip(subjects, links, strict=True)
            if isinstance(stored, Stored)
        ]
        reads = await self._read(entity, looks)
        snapshots = iter([self._snapshot(look, reads) for look in looks])
        taken = [next(snapshots) if isinstance(stored, Stored) else stored for stored in links]
        us = await self._us(entity, [one for one in taken if isinstance(one, Snapshot)])

        def resolved(snapshot: Snapshot) -> Snapshot:
            link = resolve_in_doubt(entity, snapshot.link, snapshot.cmms, snapshot.row, now, us=us)
            return replace(snapshot, link=link)

        return [resolved(one) if isinstance(one, Snapshot) else one for one in taken]

    async def _read(self, entity: EntityMapping, looks: Sequence[_Look]) -> _Reads:
        """Both sides by id, and by key where an id is not enough; then the links of the rows that were met there."""
        reads = _Reads()
        # The hinted keys save a second question where nothing is known of a row yet.
        hints = {look.subject.key_hint for look in looks if look.link.row_id is None or look.subject.key_taken}
        await asyncio.gather(
            self._records(entity, {look.link.cmms_id for look in looks}, reads),
            self._rows(entity, {look.link.row_id for look in looks}, reads),
            self._rows_by_key(entity, hints, reads),
        )
        lone = [look for look in looks if look.link.cmms_id is None and look.subject.record is None]
        rows = [row for look in lone if (row := reads.row(look.link)) is not None]
        await self._records_by_key(entity, {row.key for row in rows if row.key}, reads)
        await self._rows_by_key(entity, {reads.key(look) for look in looks}, reads)
        await self._holders(entity, looks, reads)
        await self._hide(entity, looks, reads)
        return reads

    async def _hide(self, entity: EntityMapping, looks: Sequence[_Look], reads: _Reads) -> None:
        """Take out what our user is not allowed to read: a secured column reads as null, and that is not an edit."""
        rows = [row for look in looks if (row := reads.row(look.link)) is not None and _lost_a_value(look.link, row)]
        if rows:
            unreadable = await self._dynamics.unreadable(entity, fresh=True)
            hidden = {name for name, rule in entity.fields.items() if not unreadable.isdisjoint(rule.read_columns())}
            for row in rows:
                left = {name: value for name, value in row.values.items() if name not in hidden}
                reads.rows[row.id] = replace(row, values=left)

    async def _holders(self, entity: EntityMapping, looks: Sequence[_Look], reads: _Reads) -> None:
        met = {Identity("row", row.id) for look in looks for row in reads.rows_by_key.get(reads.key(look) or "", ())}
        named = {
            Identity("cmms", record.id) for record in reads.records_by_key.values() if isinstance(record, CmmsRecord)
        }
        if met | named:
            reads.links |= await self._ledger.find(entity.name, met | named)
            holders = [holder.link for identity in met if (holder := reads.holder(identity)) is not None]
            await self._records(entity, {link.cmms_id for link in holders} - reads.records.keys(), reads)

    def _snapshot(self, look: _Look, reads: _Reads) -> Snapshot | Unusable:
        record, row, link = reads.record(look), reads.row(look.link), look.link
        if isinstance(record, MappingError):
            return record
        stored = look.stored
        near = reads.rows_by_key.get(reads.key(look) or "", ())
        candidates = [self._candidate(other, reads) for other in near if other.id != link.row_id]
        if record is not None and stored.etag is None and (joined := _joined(record, candidates)) is not None:
            stored, row = joined, next(one.row for one in candidates if one.holder is joined)
            link, candidates = joined.link.model_copy(update={"cmms_id": record.id}), []
        rival = None
        if record is not None and link.cmms_id is None and look.subject.record is None:
            rival = reads.holder(Identity("cmms", record.id))
            record = None if rival is not None else record
        return Snapshot(stored, link, record, row, candidates, rival)

    def _candidate(self, row: DynamicsRecord, reads: _Reads) -> Candidate:
        holder = reads.holder(Identity("row", row.id))
        if holder is None or self._cmms is None:
            return Candidate(row, holder, remembered(holder.link) if holder is not None else None)
        record = reads.records.get(holder.link.cmms_id or "")
        return Candidate(row, holder, record if isinstance(record, CmmsRecord) else None)

    async def _us(self, entity: EntityMapping, snapshots: Sequence[Snapshot]) -> str | None:
        """Our user in Dynamics, where that tells whether somebody edited a row after a write whose answer was lost."""
        landed = [
            snapshot
            for snapshot in snapshots
            if snapshot.row is not None and snapshot.row.stamp in {intent.id for intent in snapshot.link.intents}
        ]
        if landed and entity.stamp is not None:
            with suppress(SyncError):
                return str(await self._dynamics.user_id())
        return None

    async def _records(self, entity: EntityMapping, ids: Collection[str | None], reads: _Reads) -> None:
        wanted = sorted({one for one in ids if one is not None})
        if wanted and self._cmms is not None:
            reads.records |= await self._cmms.by_id(entity, wanted)

    async def _records_by_key(self, entity: EntityMapping, keys: Collection[str], reads: _Reads) -> None:
        if keys and self._cmms is not None:
            reads.records_by_key |= await self._cmms.by_key(entity, sorted(keys))

    async def _rows(self, entity: EntityMapping, ids: Collection[str | None], reads: _Reads) -> None:
        wanted = sorted({one for one in ids if one is not None})
        if wanted:
            reads.rows |= await self._dynamics.by_id(entity, wanted)

    async def _rows_by_key(self, entity: EntityMapping, keys: Collection[str | None], reads: _Reads) -> None:
        wanted = sorted({key for key in keys if key} - reads.rows_by_key.keys())
        if wanted:
            reads.rows_by_key |= await self._dynamics.by_key(entity, wanted)


def _lost_a_value(link: Link, row: DynamicsRecord) -> bool:
    """Whether a row shows nothing where it held a value when both sides last agreed."""
    return any(base.dynamics is not None and row.values.get(name, "") is None for name, base in link.bases.items())


def _joined(record: CmmsRecord, candidates: Sequence[Candidate]) -> Stored | None:
    """The link of a row whose record is just being made: the record that has appeared under its key."""
    holders = [one.holder for one in candidates if one.row.key == record.key and one.holder is not None]
    return holders[0] if len(holders) == 1 and holders[0].link.cmms_id is None else None
