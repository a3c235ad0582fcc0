"""What snapshots are made of, read in bulk, and each thing once."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from shared.domain.link import Identity, Link, Stored
from shared.domain.model import NO_ROW, CmmsRecord, DynamicsRecord
from shared.domain.schema.mapping import EntityMapping
from shared.errors import LedgerUnreadable, MappingError
from shared.flows.ports.engine import Cmms, Dynamics, Ledger


class Reads:
    """Records and rows by id and by key, and links by identity, as far as they were asked for."""

    def __init__(self, entity: EntityMapping, ledger: Ledger, dynamics: Dynamics, cmms: Cmms | None) -> None:
        """`cmms` None means one-way mode: nothing is read there."""
        self.entity = entity
        self._ledger = ledger
        self._dynamics = dynamics
        self._cmms = cmms
        self.records: dict[str, CmmsRecord | MappingError] = {}
        self.records_by_key: dict[str, CmmsRecord | MappingError] = {}
        self.rows: dict[str, DynamicsRecord] = {}
        self.rows_by_key: dict[str, Sequence[DynamicsRecord]] = {}
        self.links: dict[Identity, Stored | LedgerUnreadable] = {}
        self._asked: set[Identity] = set()

    @property
    def one_way(self) -> bool:
        """Whether the CMMS cannot be asked."""
        return self._cmms is None

    async def ask_who_is_down(
        self, ids: Iterable[str | None], keys: Iterable[str | None], rows: Iterable[str | None]
    ) -> None:
        """Ask a side that was down a moment ago for these, so that the other side is not asked in vain."""
        if self._cmms is not None and self._cmms.is_down:
            await self.ask_records(ids)
            await self.ask_records_by_key(keys)
        if self._dynamics.is_down:
            await self.ask_rows(rows)

    async def ask_records(self, ids: Iterable[str | None]) -> None:
        """Read CMMS records and tombstones by id."""
        if self._cmms is not None:
            await _more(self.records, ids, partial(self._cmms.by_id, self.entity))

    async def ask_records_by_key(self, keys: Iterable[str | None]) -> None:
        """Read living CMMS records by key."""
        if self._cmms is not None:
            await _more(self.records_by_key, keys, partial(self._cmms.by_key, self.entity))

    async def ask_rows(self, ids: Iterable[str | None]) -> None:
        """Read rows by id."""
        await _more(self.rows, ids, partial(self._dynamics.by_id, self.entity))

    async def ask_rows_by_key(self, keys: Iterable[str | None]) -> None:
        """Read the rows that Dynamics takes for these keys."""
        await _more(self.rows_by_key, keys, partial(self._dynamics.by_key, self.entity))

    async def ask_links(self, identities: Iterable[Identity]) -> None:
        """Read links, each known by all its identities then; one that the ledger does not hold stays absent."""
        missing = {name for name in identities if not self.knows(name)}
        if missing:
            found = await self._ledger.find(self.entity.name, sorted(missing))
            self._asked |= missing
            stored = [one for one in found.values() if isinstance(one, Stored)]
            self.links |= {**found, **{name: one for one in stored for name in one.link.identities}}

    def knows(self, identity: Identity) -> bool:
        """Whether the ledger was asked for a link with this identity, or showed one when asked otherwise."""
        return identity in self._asked or identity in self.links

    def row(self, link: Link) -> DynamicsRecord:
        """The link's row."""
        return self.rows.get(link.row_id or "", NO_ROW)

    def holder(self, identity: Identity) -> Stored | None:
        """The link with this identity. One that cannot be read counts as none: its own messages park it."""
        found = self.links.get(identity)
        return found if isinstance(found, Stored) else None

    def stored_under(self, identity: Identity) -> Identity:
        """The first name of the link that has this identity, so that all names of one record lead to one."""
        holder = self.holder(identity)
        return identity if holder is None else holder.link.identities[0]


async def _more[V](
    known: dict[str, V], wanted: Iterable[str | None], ask: Callable[[Collection[str]], Awaitable[Mapping[str, V]]]
) -> None:
    missing = {one for one in wanted if one} - known.keys()
    if missing:
        known.update(await ask(sorted(missing)))
