"""Both sides of some records and the ledger between them, as of one moment: for sync, reconcile and show alike."""

import asyncio
from collections.abc import Mapping, Sequence
from copy import replace
from datetime import datetime

from shared.domain.decide import Snapshot
from shared.domain.decide.in_doubt import is_of_another, resolve_in_doubt
from shared.domain.decide.situation import NO_HOLDER
from shared.domain.link import Identity, Stored
from shared.domain.model import NO_RECORD, CmmsRecord, Side
from shared.domain.schema.mapping import EntityMapping
from shared.flows.ports.engine import Cmms, Dynamics, Ledger
from shared.flows.sync.field_versions import hear, unheard
from shared.flows.sync.look import Look
from shared.flows.sync.reads import Reads, Unusable
from shared.flows.sync.secured import hide
from shared.flows.sync.witnesses import Watch
from shared.flows.sync.work import Work


class Snapshots:
    """Takes snapshots. Without the CMMS's API, its side is what the link remembers of the messages."""

    def __init__(self, ledger: Ledger, dynamics: Dynamics, cmms: Cmms | None) -> None:
        self._ledger = ledger
        self._dynamics = dynamics
        self._cmms = cmms
        self.watch = Watch(ledger)

    async def take(
        self, entity: EntityMapping, works: Sequence[Work], now: datetime, known: Reads | None = None
    ) -> list[Snapshot | Unusable]:
        """Read the ledger first, then both sides, in bulk; then resolve the writes in doubt.

        Args:
            entity: The records' mapping.
            works: The records; in one-way mode, what their messages say counts.
            now: In UTC.
            known: Holds the links that were read a moment ago.

        Returns:
            For each record, in order, its snapshot or why there is none.

        Raises:
            TransientError: A side or the ledger could not be read.
        """
        links = known or self.reads(entity)
        await links.ask_links(name for work in works if work.identity not in links.known for name in work.names)
        witnesses = await self.watch.of(entity.name)
        # Whose a row is that is met by its key, is asked after the sides.
        reads = Reads(entity, self._ledger, self._dynamics, self._cmms, witnesses)
        looks = [self._look(work, links, reads) for work in works]
        await self._read(reads, looks)
        shown: Mapping[Side, Mapping[str, object]] = {"cmms": reads.records, "dynamics": reads.rows}
        restored = await self.watch.judge(entity.name, witnesses, shown, now)
        return [_snapshot(look, restored, now) for look in looks]

    def _look(self, work: Work, links: Reads, reads: Reads) -> Look:
        """The record's link, a new one where the ledger holds none; in one-way mode with what its messages say."""
        name = next(filter(links.has_link, work.names), work.identity)
        stored = links.links.get(name, Stored(link=work.new_link))
        heard = hear(reads.entity, stored.link, work.deliveries) if reads.one_way else (unheard(stored.link), None)
        link, said = heard
        return Look(work, reads, stored, link, links.unreadable.get(name, said))

    def reads(self, entity: EntityMapping) -> Reads:
        """What was read of an entity's records: nothing yet."""
        return Reads(entity, self._ledger, self._dynamics, self._cmms)

    async def _read(self, reads: Reads, looks: Sequence[Look]) -> None:
        """Both sides by id, and by key where an id is not enough; then the links of the rows that were met there."""
        # The hinted keys save a second question where nothing is known of a row yet.
        hints = [look.work.key_hint for look in looks if look.link.row_id is None or look.work.key_taken]
        ids, rows = [look.link.cmms_id for look in looks], [look.link.row_id for look in looks]
        await reads.ask_who_is_down(ids, (), rows)
        await asyncio.gather(reads.ask_records(ids), reads.ask_rows(rows), reads.ask_rows_by_key(hints))
        await reads.ask_records_by_key(look.row.key for look in looks if look.has_no_record)
        await reads.ask_rows_by_key(look.key for look in looks)
        await reads.ask_rows(name for look in looks for name in look.origins)
        await _ask_holders(looks, reads)
        await hide(looks, reads, self._dynamics)


async def _ask_holders(looks: Sequence[Look], reads: Reads) -> None:
    """Read the links of rows and records that were met by key, and the records of such rows."""
    met = [Identity("row", row.id) for look in looks for row in look.near]
    named = [Identity("cmms", one.id) for one in reads.records_by_key.values() if isinstance(one, CmmsRecord)]
    await reads.ask_links([*met, *named])
    await reads.ask_records(holder.link.cmms_id for holder in map(reads.holder, met))


def _snapshot(look: Look, restored: Mapping[Side, datetime], now: datetime) -> Snapshot | Unusable:
    record = look.record
    if not isinstance(record, CmmsRecord):
        return record
    rival = look.reads.holder(Identity("cmms", record.id)) if look.has_no_record else NO_HOLDER
    record = record if rival is NO_HOLDER else NO_RECORD
    met = _of_the_rows_link(Snapshot(look.stored, look.link, record, look.row, look.candidates, rival, restored))
    return replace(met, link=resolve_in_doubt(look.reads.entity, met.link, met.cmms, met.row, now))


def _of_the_rows_link(met: Snapshot) -> Snapshot:
    """The same by its row's link where that link's record has appeared just now; else as it is."""
    own = [(one.holder, one.row) for one in met.exact if not one.is_free]
    if met.stored.etag is not None or len(own) != 1:
        return met
    (holder, row), record = own[0], met.cmms
    if holder.link.cmms_id is not None or is_of_another(holder.link, record):
        return met
    link = holder.link.model_copy(update={"cmms_id": record.id})
    return replace(met, stored=holder, link=link, row=row, candidates=())
