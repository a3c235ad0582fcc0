"""One Azure Storage table as the ledger uses it: single rows, transactions, pages. The SDK stays in here."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self

from shared.adapters.ledger.azure_errors import code_of, mapped
from shared.errors import ConfigurationError

if TYPE_CHECKING:
    from azure.core.credentials import AzureNamedKeyCredential
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.data.tables import TableEntity
    from azure.data.tables.aio import TableClient

    from shared.adapters.ledger.changes import Operation

# The SDK is imported where it is used: a cold start that never needs the ledger does not load it.
# ruff: noqa: PLC0415

PAGE: Final = 1000
_AT_ONCE: Final = 48
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


class LedgerTable:
    """The table's rows; every failure is one of ours. The table is created when it is first written to."""

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
        found = cls(f"{client.url}/{table}")
        found.client = client
        return found

    @cached_property
    def client(self) -> "TableClient":
        """The SDK's client."""
        from azure.data.tables.aio import TableClient

        credential = self._credential or _azurite_credential()
        return TableClient(self._endpoint, self._table, credential=credential, **self._options)

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()

    async def row(self, partition: str, name: str) -> "TableEntity | None":
        """One row, if it exists."""
        from azure.core.exceptions import HttpResponseError

        with mapped():
            try:
                async with self._slots, asyncio.timeout(_SECONDS):
                    return await self.client.get_entity(partition, name)
            except HttpResponseError as error:
                if code_of(error) in _ABSENT:
                    return None
                raise

    async def pages(self, query: str, select: Sequence[str] | None = None) -> "AsyncIterator[list[TableEntity]]":
        """The rows that a filter finds, in the order of their names; `select` names the properties to read."""
        columns = list(select) if select is not None else None
        pages = self.client.query_entities(query, results_per_page=PAGE, select=columns).by_page()
        while (page := await self._page(pages)) is not None:
            yield page

    async def submit(self, operations: "Sequence[Operation]") -> Mapping[str, str] | None:
        """Do all operations in one transaction.

        Returns:
            The new etags by row key; None where some row was not as expected.
        """
        from azure.core.exceptions import HttpResponseError

        with mapped():
            try:
                try:
                    results = await self._transact(operations)
                except HttpResponseError as error:
                    if code_of(error) != "TableNotFound":
                        raise
                    await self._create()
                    results = await self._transact(operations)
            except HttpResponseError as error:
                if code_of(error) not in _LOST:
                    raise
                return None
        return {
            operation[1]["RowKey"]: str(result.get("etag"))
            for operation, result in zip(operations, results, strict=True)
        }

    async def put(self, partition: str, name: str, body: str | None) -> None:
        """Store a row of one text, whatever is there; None removes the row."""
        from azure.core.exceptions import HttpResponseError
        from azure.data.tables import UpdateMode

        for _ in range(2):
            with mapped():
                try:
                    async with self._slots, asyncio.timeout(_SECONDS):
                        if body is None:
                            await self.client.delete_entity(partition, name)
                        else:
                            row = {"PartitionKey": partition, "RowKey": name, "body": body}
                            await self.client.upsert_entity(row, mode=UpdateMode.REPLACE)
                except HttpResponseError as error:
                    if code_of(error) not in _ABSENT:
                        raise
                else:
                    return
            if body is None:
                return
            await self._create()

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

    async def _transact(self, operations: "Sequence[Operation]") -> Sequence[Mapping[str, Any]]:
        async with self._slots, asyncio.timeout(_SECONDS):
            return await self.client.submit_transaction(operations)

    async def _create(self) -> None:
        from azure.core.exceptions import ResourceExistsError

        with suppress(ResourceExistsError):  # another worker was faster
            await self.client.create_table()


def _azurite_credential() -> "AzureNamedKeyCredential":
    """The emulator's account and public key, which the SDK knows."""
    from azure.core.credentials import AzureNamedKeyCredential
    from azure.data.tables.aio import TableClient

    credential = TableClient.from_connection_string("UseDevelopmentStorage=true", "none").credential
    if not isinstance(credential, AzureNamedKeyCredential):
        raise TypeError("the SDK signs in to the emulator in another way than by its key")
    return credential
