"""The ledger's table as a file and back, over Azurite: row by row what it was."""

import gzip
import io
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from azure.data.tables import EdmType, EntityProperty
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.adapters.ledger import AzureTableLedger, backup
from shared.domain.link import Identity, Link, Stored
from shared.errors import InvalidMessage, LedgerUnreadable
from tests.ledger.proxy import Fault, proxy
from tests.ledger.store import fresh

EVERY_TYPE: dict[str, Any] = {
    "PartitionKey": "asset",
    "RowKey": "k.Ñ!20",
    "text": "línea\nnueva \U0001f600",
    "whole": 7,
    "large": EntityProperty(2**40, EdmType.INT64),
    "broken": 1.5,
    "flag": True,
    "bytes": b"\x00\xff",
    "when": datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC),
    "id": UUID("12345678-1234-5678-1234-567812345678"),
}


@pytest.fixture
async def table(table_url: str) -> AsyncIterator[Any]:
    ledger = AzureTableLedger(table_url)
    await ledger.client.create_table()
    yield ledger.client
    await ledger.close()


@pytest.fixture
async def other(azurite_url: str) -> AsyncIterator[Any]:
    ledger = AzureTableLedger(f"{azurite_url}/restored{datetime.now(UTC):%H%M%S%f}")
    await ledger.client.create_table()
    yield ledger.client
    await ledger.close()


async def rows(table: Any) -> list[dict[str, Any]]:
    return [dict(row) async for row in table.list_entities()]


def links(found: Mapping[Identity, Stored | LedgerUnreadable]) -> list[Link]:
    """What was found, without the etags, which the service gives anew."""
    return [one.link for one in found.values() if isinstance(one, Stored)]


async def test_every_type_of_value_comes_back_as_it_was(table: Any, other: Any) -> None:
    await table.create_entity(EVERY_TYPE)
    file = io.BytesIO()
    assert await backup.export(table, file) == 1
    file.seek(0)
    assert await backup.restore(other, backup.read(file)) == 1
    assert await rows(other) == await rows(table)


async def test_a_ledger_that_was_lost_is_had_back(table_url: str, table: Any, other: Any) -> None:
    ledger = AzureTableLedger(table_url)
    await ledger.write("asset", [fresh(Identity("cmms", str(number))) for number in range(250)])
    await ledger.write("order", [fresh(Identity("cmms", "REQ-1"))])
    file = io.BytesIO()
    count = await backup.export(table, file)
    before = await ledger.find("asset", [Identity("cmms", "249")])
    await table.delete_table()
    file.seek(0)
    assert await backup.restore(other, backup.read(file)) == count
    again = AzureTableLedger(f"{other.url}/{other.table_name}")
    assert links(await again.find("asset", [Identity("cmms", "249")])) == links(before)
    assert await again.find("order", [Identity("cmms", "REQ-1")])
    await ledger.close()
    await again.close()


@pytest.mark.parametrize("unseen", [True, False], ids=["before", "after"])
async def test_a_connection_that_is_cut_does_not_end_a_restore(table_url: str, table: Any, unseen: bool) -> None:
    async with proxy(table_url) as between, backup.table_of(between.url, None) as cut:
        between.faults = [Fault(unseen=unseen)]
        assert await backup.restore(cut, [{"PartitionKey": "asset", "RowKey": "one", "body": "old"}]) == 1
    assert [row["RowKey"] for row in await rows(table)] == ["one"]


async def test_what_is_newer_than_the_backup_is_replaced_and_what_it_lacks_stays(table: Any) -> None:
    await table.create_entity({"PartitionKey": "asset", "RowKey": "one", "body": "old"})
    file = io.BytesIO()
    await backup.export(table, file)
    await table.upsert_entity({"PartitionKey": "asset", "RowKey": "one", "body": "new", "more": 1})
    await table.create_entity({"PartitionKey": "asset", "RowKey": "two", "body": "new"})
    file.seek(0)
    await backup.restore(table, backup.read(file))
    assert {row["RowKey"]: row["body"] for row in await rows(table)} == {"one": "old", "two": "new"}
    assert "more" not in next(row for row in await rows(table) if row["RowKey"] == "one")


async def listed(found: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    for row in found:
        yield row


async def packed(found: list[dict[str, Any]]) -> bytes:
    file = io.BytesIO()
    await backup.write(listed(found), file)
    return file.getvalue()


async def test_a_file_that_was_cut_short_is_refused() -> None:
    whole = gzip.decompress(await packed([EVERY_TYPE, EVERY_TYPE | {"RowKey": "two"}]))
    lines = whole.splitlines(keepends=True)
    short = gzip.compress(b"".join(lines[:-1]))
    with pytest.raises(InvalidMessage, match="cut short"):
        list(backup.read(io.BytesIO(short)))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not gzip", id="not gzip"),
        pytest.param(gzip.compress(b"not json\n"), id="not JSON"),
        pytest.param(gzip.compress(b'["energy-sync-ledger",2]\n'), id="a newer version"),
        pytest.param(gzip.compress(b'["energy-sync-ledger",1]\n["a"]\n["energy-sync-ledger",1]\n'), id="half a row"),
    ],
)
def test_what_is_no_backup_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidMessage):
        list(backup.read(io.BytesIO(content)))


async def test_a_damaged_file_is_refused_wherever_it_is_damaged() -> None:
    whole = await packed([EVERY_TYPE])
    for length in range(len(whole)):
        with pytest.raises(InvalidMessage):
            list(backup.read(io.BytesIO(whole[:length])))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["asset", "order"]), st.integers(0, 400)), max_size=400))
def test_a_transaction_is_of_one_partition_and_within_its_limits(found: list[tuple[str, int]]) -> None:
    made = [
        {"PartitionKey": partition, "RowKey": str(number), "body": "x" * (length * 1000)}
        for number, (partition, length) in enumerate(found)
    ]
    groups = list(backup.batches(made))
    assert [row for group in groups for row in group] == made
    for group in groups:
        assert len({row["PartitionKey"] for row in group}) == 1
        assert len(group) <= 100
        assert len(group) == 1 or len(json.dumps(group)) < 4 * 1024 * 1024
