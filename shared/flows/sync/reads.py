"""What snapshots are made of, read in bulk, and each thing once."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from copy import replace
from functools import partial
from typing import Final

from shared.domain.decide.situation import NO_HOLDER
from shared.domain.link import Identity, Link, Stored
from shared.domain.model import NO_RECORD, NO_ROW, CmmsRecord, DynamicsRecord, Side, without
from shared.domain.schema.mapping import EntityMapping
from shared.domain.witnesses import Witnesses
from shared.errors import LedgerUnreadable, MappingError
from shared.flows.ports.engine import Cmms, Dynamics, Ledger
from shared.flows.sync.field_versions import remembered

type Unusable = LedgerUnreadable | MappingError
"""Why there is no snapshot of a record: the ledger's row or the CMMS's record has an unknown form."""
_NO_WITNESSES: Final[Mapping[Side, Witnesses]] = {"cmms": Witnesses(), "dynamics": Witnesses()}


class Reads:
    """Records and rows by id and by key, and links by identity, as far as they were asked for."""

    def __init__(
        self,
        entity: EntityMapping,
        ledger: Ledger,
        dynamics: Dynamics,
        cmms: Cmms | None,
        witnesses: Mapping[Side, Witnesses] = _NO_WITNESSES,
    ) -> None:
        """`cmms` None means one-way mode: nothing is read there.

        `witnesses` are read together with whatever is asked for by id; no question is asked for them alone.
        """
        self._witnesses = witnesses
        self.entity = entity
        self._ledger = ledger
        self._dynamics = dynamics
        self._cmms = cmms
        self.records: dict[str, CmmsRecord | MappingError] = {}
        self.records_by_key: dict[str, CmmsRecord | MappingError] = {}
        self.rows: dict[str, DynamicsRecord] = {}
        self.rows_by_key: dict[str, Sequence[DynamicsRecord]] = {}
        self.links: dict[Identity, Stored] = {}
        self.unreadable: dict[Identity, LedgerUnreadable] = {}
        self.known: set[Identity] = set()
        """Of these the ledger was asked, or showed them when it was asked otherwise."""

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
            await _more(self.records, ids, partial(self._cmms.by_id, self.entity), self._witnesses["cmms"].ids)

    async def ask_records_by_key(self, keys: Iterable[str | None]) -> None:
        """Read living CMMS records by key."""
        if self._cmms is not None:
            await _more(self.records_by_key, keys, partial(self._cmms.by_key, self.entity))

    async def ask_rows(self, ids: Iterable[str | None]) -> None:
        """Read rows by id."""
        await _more(self.rows, ids, partial(self._dynamics.by_id, self.entity), self._witnesses["dynamics"].ids)

    async def ask_rows_by_key(self, keys: Iterable[str | None]) -> None:
        """Read the rows that Dynamics takes for these keys."""
        await _more(self.rows_by_key, keys, partial(self._dynamics.by_key, self.entity))

    async def ask_links(self, identities: Iterable[Identity]) -> None:
        """Read links, each known by all its identities then; one that the ledger does not hold stays absent."""
        missing = set(identities) - self.known
        for identity, one in (await self._ledger.find(self.entity.name, sorted(missing))).items():
            if isinstance(one, Stored):
                self.links |= dict.fromkeys(one.link.identities, one)
            else:
                self.unreadable[identity] = one
        self.known.update(missing, self.links)

    def hide(self, fields: frozenset[str]) -> None:
        """Take fields out of all rows that were read."""

        def hidden(row: DynamicsRecord) -> DynamicsRecord:
            return replace(row, values=without(row.values, fields))

        self.rows = {name: hidden(row) for name, row in self.rows.items()}
        self.rows_by_key = {key: list(map(hidden, found)) for key, found in self.rows_by_key.items()}

    def row(self, row_id: str | None) -> DynamicsRecord:
        """The row with this id."""
        return self.rows.get(row_id or "", NO_ROW)

    def record_of(self, holder: Link) -> CmmsRecord:
        """What the CMMS shows of another link's record; one that cannot be read counts as none."""
        return remembered(holder) if self.one_way else readable(self.records.get(holder.cmms_id or "", NO_RECORD))

    def holder(self, identity: Identity) -> Stored:
        """The link with this identity. One that cannot be read counts as none: its own messages park it."""
        return self.links.get(identity, NO_HOLDER)

    def has_link(self, identity: Identity) -> bool:
        """Whether the ledger holds a link with this identity, be it one that cannot be read."""
        return identity in self.links or identity in self.unreadable

    def stored_under(self, identity: Identity) -> Identity:
        """The first name of the link that has this identity, so that all names of one record lead to one."""
        return (*self.holder(identity).link.identities, identity)[0]


def readable(record: CmmsRecord | Unusable) -> CmmsRecord:
    """The record as read; one that cannot be read counts as none."""
    return record if isinstance(record, CmmsRecord) else NO_RECORD


async def _more[V](
    known: dict[str, V],
    wanted: Iterable[str | None],
    ask: Callable[[Collection[str]], Awaitable[Mapping[str, V]]],
    along: Collection[str] = (),
) -> None:
    missing = set(filter(None, wanted)) - known.keys()
    if missing:
        known.update(await ask(sorted(missing | (set(along) - known.keys()))))
