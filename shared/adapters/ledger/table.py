"""The ledger in one Azure Storage table.

Why one partition per entity: an entity-group transaction reaches one partition, so a link and the rows that lead to it
are stored at once or not at all, with no order of writes for a crash to break, and 500 links take at most ten requests.
The price is the partition's 2,000 operations a second
(https://learn.microsoft.com/azure/storage/tables/scalability-targets). A record needs three, and Dynamics, by its own
limit on execution time, writes some hundred records a second: it is the narrower of the two by far.

A filter over many names would scan the partition, so reads are single rows, many at a time.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Collection, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

from shared.adapters.ledger.changes import Change, prepare, swapped, transactions, waves
from shared.adapters.ledger.refusals import require_identities
from shared.adapters.ledger.rows import (
    HASHED,
    block_name,
    blocks_of,
    claims,
    encode,
    hash_of,
    is_pointer,
    name_of,
    unpack,
)
from shared.adapters.ledger.table_client import LedgerTable
from shared.domain.link import Identity, Link, LinkHash, Stored
from shared.errors import LedgerUnreadable, LinkTooLarge, Unavailable

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.data.tables import TableEntity
    from azure.data.tables.aio import TableClient

_STATE: Final = "state"
_ATTEMPTS: Final = 6
_BLIND_ATTEMPTS: Final = 3
_PAUSE: Final = 0.1
_LOOKS: Final = 6


class AzureTableLedger:
    """Compare-and-swap over the etags of table rows; `rows` describes the layout."""

    def __init__(self, url: str, credential: "AsyncTokenCredential | None" = None, **options: Any) -> None:
        """`url` is the account's address, a slash and the table's name; `options` go to the SDK's client.

        Without a credential the account is that of Azurite, whose key everybody knows.
        """
        self._table = LedgerTable(url, credential, **options)

    @classmethod
    def from_connection_string(cls, connection: str, table: str, **options: Any) -> Self:
        """Sign in by a connection string.

        Raises:
            ConfigurationError: It is not one.
        """
        opened = LedgerTable.from_connection_string(connection, table, **options)
        ledger = cls(table)
        ledger._table = opened
        return ledger

    @property
    def client(self) -> "TableClient":
        """The SDK's client of the table, for what takes rows as they are."""
        return self._table.client

    async def close(self) -> None:
        """Close the connections."""
        await self._table.close()

    async def find(self, entity: str, identities: Collection[Identity]) -> Mapping[Identity, Stored | LedgerUnreadable]:
        """The links that have these identities; one that no link has is left out."""
        wanted = list(dict.fromkeys(identities))
        found = await _all(self._find(entity, identity) for identity in wanted)
        return {identity: one for identity, one in zip(wanted, found, strict=True) if one is not None}

    async def write(self, entity: str, links: Sequence[Stored]) -> Sequence[Stored | LinkTooLarge | None]:
        """Compare and swap each link, many in one transaction."""
        require_identities(links)
        call = secrets.token_hex(8)
        found: list[Change | LinkTooLarge] = []
        for number, stored in enumerate(links):
            try:
                found.append(prepare(entity, stored, f"{call}.{number}"))
            except LinkTooLarge as error:
                found.append(error)
        for wave in waves([change for change in found if isinstance(change, Change)]):
            await _all(self._commit(changes) for changes in transactions(wave))
        return [change.outcome if isinstance(change, Change) else change for change in found]

    async def scan(self, entity: str) -> AsyncIterator[Sequence[Link | LedgerUnreadable]]:
        """Every link, page by page."""
        async for page in self._bodies(entity):
            found = await _all(self._whole(entity, row) for row in page)
            yield [one.link if isinstance(one, Stored) else one for one in found]

    async def hashes(self, entity: str) -> AsyncIterator[Sequence[LinkHash]]:
        """Every link's identities and row hashes, page by page; a row that a person has emptied has none."""
        async for page in self._bodies(entity, select=HASHED):
            yield [found for row in page if (found := hash_of(row)) is not None]

    async def get_state(self, names: Collection[str]) -> Mapping[str, str]:
        """The texts that there are."""
        names = list(dict.fromkeys(names))
        rows = await _all(self._table.row(_STATE, encode(name)) for name in names)
        return {name: str(row["body"]) for name, row in zip(names, rows, strict=True) if row is not None}

    async def put_state(self, values: Mapping[str, str | None]) -> None:
        """Store texts one by one, in the order given."""
        for name, value in values.items():
            await self._table.put(_STATE, encode(name), value)

    async def swap_state(self, name: str, before: str | None, after: str) -> bool:
        """Store a text where the one before is still there: by the etag of its row, which is read for it."""
        row = await self._table.row(_STATE, encode(name))
        if before != (None if row is None else row["body"]):
            return False
        etag = None if row is None else str(row.metadata["etag"])
        return await self._table.submit([swapped(_STATE, encode(name), after, etag)]) is not None

    async def _bodies(self, entity: str, select: Sequence[str] | None = None) -> "AsyncIterator[list[TableEntity]]":
        """The links' own rows.

        Those under a key or a row id come first: a link that gets its CMMS id meanwhile is met twice, never missed.
        """
        partition = f"PartitionKey eq '{encode(entity)}'"
        for part in ("RowKey ge 'k.' and RowKey lt 'r/' and key ge ''", "RowKey ge 'c.' and RowKey lt 'c/'"):
            async for page in self._table.pages(f"{partition} and {part}", select):
                if page:
                    yield page

    async def _find(self, entity: str, identity: Identity) -> Stored | LedgerUnreadable | None:
        name = name_of(identity)
        row = await self._row(entity, name)
        for _ in range(_LOOKS):
            if row is None:
                return None
            owner = await self._owner(entity, name, row)
            if owner is not None:
                return await self._whole(entity, owner)
            # A pointer that leads nowhere was left behind by a person, or its link changed between the two reads.
            again = await self._row(entity, name)
            if again is not None and again.metadata["etag"] == row.metadata["etag"]:
                return None
            row = again
        raise Unavailable(f"The ledger's row {name} of {entity} changes faster than it can be read.")

    async def _owner(self, entity: str, name: str, row: "TableEntity") -> "TableEntity | None":
        """The row of the link that has an identity, by the identity's row; None for a pointer that leads nowhere."""
        if not is_pointer(row):
            return row
        owner = await self._row(entity, str(row["to"]))
        return owner if owner is not None and not is_pointer(owner) and claims(owner, name) else None

    async def _whole(self, entity: str, row: "TableEntity") -> Stored | LedgerUnreadable:
        digests = blocks_of(row)
        blocks = await _all(self._row(entity, block_name(digest)) for digest in digests)
        found = {digest: block for digest, block in zip(digests, blocks, strict=True) if block is not None}
        return unpack(entity, row, found, row.metadata["etag"] or "")

    async def _row(self, entity: str, name: str) -> "TableEntity | None":
        return await self._table.row(encode(entity), name)

    async def _commit(self, changes: Sequence[Change]) -> None:
        """Store what still can be; a change that stays open was overtaken each time, and so lost its race."""
        blind = 0
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                etags = await self._table.submit([operation for one in changes for operation in one.operations()])
            except Unavailable:
                # The marks tell our own write, so that a lost answer need not make a lost race.
                blind += 1
                if blind == _BLIND_ATTEMPTS or attempt == _ATTEMPTS:
                    raise
                etags = None
                await asyncio.sleep(_PAUSE * 2**blind)
            if etags is not None:
                for change in changes:
                    change.landed(etags[change.name])
                return
            await _all(self._diagnose(change) for change in changes)
            changes = [change for change in changes if not change.done]
            if not changes:
                return

    async def _diagnose(self, change: Change) -> None:
        """Find out from the rows why a transaction failed, or that it did not.

        The service's answer names one operation at most, and a retry after a lost answer fails on our own write.
        """
        # The former row before the new one: our own write, should it land in between, shows in the new one.
        former = await self._row(change.entity, change.former[0]) if change.former else None
        row = former if change.name in change.former[:1] else await self._row(change.entity, change.name)
        if row is not None and row.get("write") == change.write:
            change.landed(str(row.metadata["etag"]))
        elif change.version and (former is None or former.metadata["etag"] != change.version.etag):
            change.lost()
        else:
            pointers = await _all(self._row(change.entity, name) for name in change.let_go)
            change.gone = {name for name, row in zip(change.let_go, pointers, strict=True) if row is None}
            await _all(self._diagnose_taken(change, name) for name in change.taken)

    async def _diagnose_taken(self, change: Change, name: str) -> None:
        """An identity belongs to the link that claims it; a pointer that leads to no such link is taken over."""
        change.stale.pop(name, None)
        row = await self._row(change.entity, name)
        if row is None:
            return
        if await self._owner(change.entity, name, row) is not None:
            change.lost()
        else:
            change.stale[name] = str(row.metadata["etag"])


async def _all[T](calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Every result, or the first failure once all have ended: a write under way is not cut short."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    await asyncio.gather(*tasks, return_exceptions=True)
    # Not gather's own answer: it does not tell an error that was raised from one that is the result.
    return [task.result() for task in tasks]
