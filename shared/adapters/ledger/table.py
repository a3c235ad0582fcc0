"""The ledger in one Azure Storage table.

Why one partition per entity: an entity-group transaction reaches one partition, so an entry, the row that binds its
Dynamics id and both halves of a move are stored at once or not at all, with no order of writes for a crash to break,
and 500 entries take at most ten requests. The price is the partition's 2,000 operations a second
(https://learn.microsoft.com/azure/storage/tables/scalability-targets). A record needs three, and Dynamics, by its own
limit on execution time, writes some hundred records a second: it is the narrower of the two by far.

A filter over many keys would scan the partition, so reads are single rows, many at a time.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self

from shared.adapters.ledger.azure_errors import code_of, mapped
from shared.adapters.ledger.changes import Change, Operation, Unit, transactions, waves
from shared.adapters.ledger.refusals import bound_elsewhere
from shared.adapters.ledger.rows import block_row, blocks_of, body_of, encode, id_row, key_of, key_row, pack, unpack
from shared.domain.ledger import Entry, Stored
from shared.errors import ConfigurationError, KeyNotUsable, LedgerUnreadable, Unavailable

if TYPE_CHECKING:
    from azure.core.credentials import AzureNamedKeyCredential
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.data.tables import TableEntity
    from azure.data.tables.aio import TableClient

# The SDK is imported where it is used: a cold start that never needs the ledger does not load it.
# ruff: noqa: PLC0415

PAGE: Final = 1000
_STATE: Final = "state"
_AT_ONCE: Final = 48
_ATTEMPTS: Final = 6
_BLIND_ATTEMPTS: Final = 2
_PAUSE: Final = 0.2
_SECONDS: Final = 45.0
_PATIENCE: Final[dict[str, Any]] = {
    "connection_timeout": 5,
    "read_timeout": 20,
    "retry_total": 4,
    "retry_backoff_factor": 0.2,
    "retry_backoff_max": 5,
    # Else aiohttp looks for proxies and a .netrc file in a thread of its own, twice for each of 500 rows.
    "use_env_settings": False,
}
# Only these say that something is not there: a proxy's 404 says nothing.
_ABSENT: Final = frozenset({"ResourceNotFound", "EntityNotFound", "TableNotFound"})
_LOST: Final = frozenset(
    {"EntityAlreadyExists", "UpdateConditionNotSatisfied", "ConditionNotMet", "ResourceNotFound", "EntityNotFound"}
)


class AzureTableLedger:
    """Compare-and-swap over the etags of table rows. The table is created when it is first written to."""

    def __init__(self, url: str, credential: "AsyncTokenCredential | None" = None, **options: Any) -> None:
        """`url` is the account's address, a slash and the table's name; `options` go to the SDK's client.

        Without a credential the account is that of Azurite, whose key everybody knows.
        """
        self._endpoint, _, self._table = url.rstrip("/").rpartition("/")
        self._credential = credential
        self._options = {**_PATIENCE, **options}
        self._slots = asyncio.Semaphore(_AT_ONCE)

    @classmethod
    def from_connection_string(cls, connection: str, table: str, **options: Any) -> Self:
        """Sign in by a connection string.

        Raises:
            ConfigurationError: It is not one.
        """
        from azure.data.tables.aio import TableClient

        try:
            client = TableClient.from_connection_string(connection, table, **{**_PATIENCE, **options})
        except ValueError:
            # The SDK's text may repeat the key.
            raise ConfigurationError(
                "The ledger's connection string is not one of Azure Storage: copy it from the account's access keys."
            ) from None
        ledger = cls(f"{client.url}/{table}")
        ledger._client = client
        return ledger

    @cached_property
    def _client(self) -> "TableClient":
        from azure.data.tables.aio import TableClient

        credential = self._credential or _azurite_credential()
        return TableClient(self._endpoint, self._table, credential=credential, **self._options)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def read(self, entity: str, keys: Collection[str]) -> Mapping[str, Stored | LedgerUnreadable]:
        """An entry for every key asked for."""
        keys = list(dict.fromkeys(keys))
        return dict(zip(keys, await _all(self._read(entity, key) for key in keys), strict=True))

    async def keys_of(self, entity: str, ids: Collection[str]) -> Mapping[str, str]:
        """The keys that Dynamics ids are bound to."""
        ids = list(dict.fromkeys(ids))
        rows = await _all(self._row(entity, id_row(one)) for one in ids)
        # A row that was edited by hand and names no key binds nothing.
        return {one: str(row["key"]) for one, row in zip(ids, rows, strict=True) if row is not None and row.get("key")}

    async def write(self, entity: str, entries: Sequence[Stored]) -> Sequence[Stored | KeyNotUsable | None]:
        """Compare and swap each entry, many in one transaction."""
        call = secrets.token_hex(8)
        found: list[Change | KeyNotUsable] = []
        for number, stored in enumerate(entries):
            try:
                found.append(_change(entity, stored, f"{call}.{number}"))
            except KeyNotUsable as error:
                found.append(error)
        for wave in waves([Unit([change]) for change in found if isinstance(change, Change)]):
            await _all(self._commit(units) for units in transactions(wave))
        return [change.outcome if isinstance(change, Change) else change for change in found]

    async def move(self, entity: str, old: Stored, new: Stored) -> bool:
        """Store both entries, or neither.

        Raises:
            KeyNotUsable: One is larger than a row can hold.
        """
        call = secrets.token_hex(8)
        changes = [_change(entity, stored, f"{call}.{number}") for number, stored in enumerate((old, new))]
        await self._commit([Unit(changes)])
        return all(isinstance(change.outcome, Stored) for change in changes)

    async def scan(self, entity: str) -> AsyncIterator[Sequence[Entry | LedgerUnreadable]]:
        """Every entry, page by page, in the order of the rows' keys: a stable one, near the keys' own."""
        async for page in self._rows(entity):
            found = await _all(self._whole(entity, key_of(row), row) for row in page)
            yield [one.entry if isinstance(one, Stored) else one for one in found]

    async def bodies(self, entity: str) -> AsyncIterator[Sequence[tuple[str, str]]]:
        """Every key and its entry as JSON, page by page, without the conflicts that went on into blocks."""
        async for page in self._rows(entity):
            yield [(key_of(row), body_of(row)) for row in page]

    async def get_state(self, names: Collection[str]) -> Mapping[str, str]:
        """The texts that there are."""
        names = list(dict.fromkeys(names))
        rows = await _all(self._row(_STATE, encode(name)) for name in names)
        return {name: str(row["body"]) for name, row in zip(names, rows, strict=True) if row is not None}

    async def put_state(self, values: Mapping[str, str | None]) -> None:
        """Store texts one by one, in the order given."""
        for name, value in values.items():
            await self._put_state(name, value)

    async def _put_state(self, name: str, value: str | None) -> None:
        from azure.core.exceptions import HttpResponseError
        from azure.data.tables import UpdateMode

        key = {"PartitionKey": encode(_STATE), "RowKey": encode(name)}
        for _ in range(2):
            with mapped():
                try:
                    async with self._slots, asyncio.timeout(_SECONDS):
                        if value is None:
                            await self._client.delete_entity(key["PartitionKey"], key["RowKey"])
                        else:
                            await self._client.upsert_entity({**key, "body": value}, mode=UpdateMode.REPLACE)
                except HttpResponseError as error:
                    if code_of(error) not in _ABSENT:
                        raise
                else:
                    return
            if value is None:
                return
            await self._create_table()

    async def _rows(self, entity: str) -> "AsyncIterator[list[TableEntity]]":
        query = f"PartitionKey eq '{encode(entity)}' and RowKey ge 'k.' and RowKey lt 'k/'"
        pages = self._client.query_entities(query, results_per_page=PAGE).by_page()
        while (page := await self._page(pages)) is not None:
            yield page

    async def _page(self, pages: AsyncIterator[AsyncIterator["TableEntity"]]) -> "list[TableEntity] | None":
        from azure.core.exceptions import HttpResponseError

        with mapped():
            try:
                async with asyncio.timeout(_SECONDS):
                    return [row async for row in await anext(pages)]
            except StopAsyncIteration:
                return None
            except HttpResponseError as error:
                if code_of(error) in _ABSENT:
                    return None
                raise

    async def _read(self, entity: str, key: str) -> Stored | LedgerUnreadable:
        row = await self._row(entity, key_row(key))
        return Stored(entry=Entry(key=key)) if row is None else await self._whole(entity, key, row)

    async def _whole(self, entity: str, key: str, row: "TableEntity") -> Stored | LedgerUnreadable:
        names = blocks_of(row)
        blocks = await _all(self._row(entity, block_row(name)) for name in names)
        found = {name: block for name, block in zip(names, blocks, strict=True) if block is not None}
        return unpack(entity, key, row, found, row.metadata["etag"] or "")

    async def _row(self, entity: str, row_key: str) -> "TableEntity | None":
        from azure.core.exceptions import HttpResponseError

        with mapped():
            try:
                async with self._slots, asyncio.timeout(_SECONDS):
                    return await self._client.get_entity(encode(entity), row_key)
            except HttpResponseError as error:
                if code_of(error) in _ABSENT:
                    return None
                raise

    async def _commit(self, units: Sequence[Unit]) -> None:
        """Store what still can be; a unit that stays open was faster changed than looked at, and so lost its race."""
        for attempt in range(_ATTEMPTS):
            try:
                etags = await self._submit([operation for unit in units for operation in unit.operations()])
            except Unavailable:
                # The marks tell our own write, so that a lost answer need not make a lost race.
                if attempt == _BLIND_ATTEMPTS:
                    raise
                etags = None
                await asyncio.sleep(_PAUSE * 2**attempt)
            if etags is not None:
                for change in (change for unit in units for change in unit.changes):
                    change.landed(etags[key_row(change.stored.entry.key)])
                return
            await _all(self._diagnose(unit) for unit in units)
            units = [unit for unit in units if unit.open]
            if not units:
                return

    async def _submit(self, operations: Sequence[Operation]) -> Mapping[str, str] | None:
        """The new etags by row key; None where some row was not as expected."""
        from azure.core.exceptions import HttpResponseError

        with mapped():
            try:
                try:
                    results = await self._transact(operations)
                except HttpResponseError as error:
                    if code_of(error) != "TableNotFound":
                        raise
                    await self._create_table()
                    results = await self._transact(operations)
            except HttpResponseError as error:
                if code_of(error) not in _LOST:
                    raise
                return None
        return {
            operation[1]["RowKey"]: str(result.get("etag"))
            for operation, result in zip(operations, results, strict=True)
        }

    async def _transact(self, operations: Sequence[Operation]) -> Sequence[Mapping[str, Any]]:
        async with self._slots, asyncio.timeout(_SECONDS):
            return await self._client.submit_transaction(operations)

    async def _create_table(self) -> None:
        from azure.core.exceptions import ResourceExistsError

        with suppress(ResourceExistsError):  # another worker was faster
            await self._client.create_table()

    async def _diagnose(self, unit: Unit) -> None:
        """Find out why a transaction failed from the rows themselves.

        The answer names one operation at most, and a retry after a lost answer fails on our own write.
        """
        moved = {change.left_id for change in unit.changes}
        for change in unit.changes:
            row = await self._row(change.entity, key_row(change.stored.entry.key))
            etag = row.metadata["etag"] if row is not None else None
            if row is not None and row.get("write") == change.write:
                change.landed(str(etag))
            elif etag != (change.version.etag if change.version else None):
                change.conclude(None)
            else:
                if change.left_id is not None:
                    change.released = await self._row(change.entity, id_row(change.left_id)) is None
                if change.new_id is not None and change.new_id not in moved:
                    await self._diagnose_id(change, change.new_id)

    async def _diagnose_id(self, change: Change, dynamics_id: str) -> None:
        """An id's row binds only what its entry claims: one left by an entry deleted by hand is taken over."""
        change.takes_over = None
        bound = await self._row(change.entity, id_row(dynamics_id))
        if bound is None:
            return
        owner = await self._row(change.entity, key_row(str(bound.get("key", ""))))
        if owner is not None and owner.get("dynamics_id") == dynamics_id:
            change.conclude(bound_elsewhere(change.stored.entry))
        else:
            change.takes_over = bound.metadata["etag"]


def _change(entity: str, stored: Stored, write: str) -> Change:
    return Change(entity, stored, pack(stored.entry), write)


async def _all[T](calls: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Every result, or the first failure once all have ended: a write under way is not cut short."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    await asyncio.gather(*tasks, return_exceptions=True)
    # Not gather's own answer: it does not tell an error that was raised from one that is the result.
    return [task.result() for task in tasks]


def _azurite_credential() -> "AzureNamedKeyCredential":
    """The emulator's account and public key, which the SDK knows."""
    from azure.core.credentials import AzureNamedKeyCredential
    from azure.data.tables.aio import TableClient

    credential = TableClient.from_connection_string("UseDevelopmentStorage=true", "none").credential
    if not isinstance(credential, AzureNamedKeyCredential):
        raise TypeError("the SDK signs in to the emulator in another way than by its key")
    return credential
