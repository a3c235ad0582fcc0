"""The ledger's table as a file, and back: Azure has no point-in-time restore for tables.

Rows are taken as they are, whatever the ledger means by them, so a backup outlives its layout. A file is gzipped and
holds one JSON array for each row: `["PartitionKey", "RowKey", {"body": "...", "count": ["Edm.Int64", "7"]}]`. It begins
with `["energy-sync-ledger", 1]` and ends with the number of rows. A value without a JSON type stands with its type.

A backup that is taken while the functions write is no single moment. That is enough: a row that is older than both
sides is what the engine's rule on trust in memory is for.
"""

import base64
import gzip
import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, Final
from uuid import UUID

from shared.adapters.http.retry import patiently
from shared.adapters.ledger.azure_errors import mapped
from shared.adapters.ledger.table import AzureTableLedger
from shared.domain.words import plural
from shared.errors import InvalidMessage

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.data.tables.aio import TableClient

HEADER: Final = ["energy-sync-ledger", 1]
PAGE: Final = 1000
_AT_ONCE: Final = 100
"""Rows of one transaction at the most: https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions."""
_MOST_BYTES: Final = 3_000_000
"""A transaction takes 4 MiB, of which the wire's form needs a part."""

type Row = dict[str, Any]


async def export(table: "TableClient", target: IO[bytes]) -> int:
    """Write every row to a file.

    Returns:
        The number of rows.

    Raises:
        SyncError: The table cannot be read.
    """
    with mapped():
        return await write(table.list_entities(results_per_page=PAGE), target)


@asynccontextmanager
async def table_of(url: str, credential: "AsyncTokenCredential | None") -> "AsyncIterator[TableClient]":
    """The table at `https://account.table.core.windows.net/ledger` or the like; without a credential Azurite's."""
    ledger = AzureTableLedger(url, credential)
    try:
        yield ledger.client
    finally:
        await ledger.close()


async def exported(url: str, credential: "AsyncTokenCredential | None") -> bytes:
    """A backup of the table at an address.

    Returns:
        The file's content: about 150 bytes for each row.

    Raises:
        SyncError: The table cannot be read.
    """
    with TemporaryFile() as file:
        async with table_of(url, credential) as table:
            await export(table, file)
        file.seek(0)
        return file.read()


async def write(rows: AsyncIterable[Mapping[str, Any]], target: IO[bytes]) -> int:
    """Write rows to a file.

    Returns:
        The number of rows.
    """
    count = 0
    with gzip.GzipFile(fileobj=target, mode="wb", mtime=0) as packed:
        packed.write(_line(HEADER))
        async for row in rows:
            values = {name: _plain(value) for name, value in row.items() if name not in {"PartitionKey", "RowKey"}}
            packed.write(_line([row["PartitionKey"], row["RowKey"], values]))
            count += 1
        # A file that was cut short must not pass for a whole one.
        packed.write(_line([HEADER[0], count]))
    return count


def read(source: IO[bytes]) -> Iterator[Row]:
    """The rows of a file.

    Yields:
        Rows as the SDK takes them, in the file's order.

    Raises:
        InvalidMessage: The file is no backup of this version, or not a whole one.
    """
    count = 0
    last: Any = None
    try:
        with gzip.GzipFile(fileobj=source, mode="rb") as packed:
            if json.loads(packed.readline()) != HEADER:
                raise InvalidMessage(
                    "This is no backup of a ledger, or one of a newer version: take the version that made it."
                )
            for line in packed:
                if isinstance(last, list):
                    yield _row(last)
                    count += 1
                last = json.loads(line)
    except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
        raise InvalidMessage(
            f"The backup cannot be read after {plural(count, 'row')} ({type(error).__name__}): it is damaged."
        ) from None
    if last != [HEADER[0], count]:
        raise InvalidMessage(
            f"The backup ends after {plural(count, 'row')} without its end: it was cut short, take another one."
        )


async def restore(table: "TableClient", rows: Iterable[Row]) -> int:
    """Write rows into a table; a row that is there is replaced, and one that the backup lacks stays.

    Returns:
        The number of rows.

    Raises:
        SyncError: The table cannot be written.
    """
    count = 0
    for batch in batches(rows):
        # Replacing rows twice changes nothing: a lost answer does not end a long restore.
        await patiently(partial(_replace, table, batch))
        count += len(batch)
    return count


async def _replace(table: "TableClient", rows: Sequence[Row]) -> None:
    with mapped():
        await table.submit_transaction([("upsert", row, {"mode": "replace"}) for row in rows])


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows in the groups that one transaction takes: of one partition, not too many, not too large."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        length = len(json.dumps(row, default=str))
        other = batch and batch[0]["PartitionKey"] != row["PartitionKey"]
        if batch and (other or len(batch) == _AT_ONCE or size + length > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += length
    if batch:
        yield batch


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def _plain(value: Any) -> Any:
    from azure.data.tables import EntityProperty  # noqa: PLC0415  # not before the ledger is used

    if isinstance(value, EntityProperty):
        return [value.edm_type.value if hasattr(value.edm_type, "value") else str(value.edm_type), str(value.value)]
    if isinstance(value, bytes):
        return ["Edm.Binary", base64.b64encode(value).decode()]
    if isinstance(value, datetime):
        return ["Edm.DateTime", value.isoformat()]
    if isinstance(value, UUID):
        return ["Edm.Guid", str(value)]
    return value


def _row(parts: list[Any]) -> Row:
    partition, key, values = parts
    return {"PartitionKey": partition, "RowKey": key} | {name: _typed(value) for name, value in values.items()}


def _typed(value: Any) -> Any:
    from azure.data.tables import EdmType, EntityProperty  # noqa: PLC0415

    if not isinstance(value, list):
        return value
    kind, text = value
    if kind == "Edm.Binary":
        return base64.b64decode(text)
    if kind == "Edm.DateTime":
        return datetime.fromisoformat(text)
    if kind == "Edm.Guid":
        return UUID(text)
    return EntityProperty(int(text), EdmType.INT64)
