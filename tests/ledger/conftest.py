import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from azure.data.tables import UpdateMode

from shared.adapters.ledger import AzureTableLedger, SqliteLedger
from tests.ledger.azurite import AzuriteMissing, azurite
from tests.ledger.store import Store


@pytest.fixture(scope="session")
def azurite_url() -> Iterator[str]:
    """The address of a running Azurite; without Node its tests are skipped, but fail where CI is set."""
    try:
        with azurite() as url:
            yield url
    except AzuriteMissing as error:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(f"The ledger's contract must be held on Azurite: {error}")
        pytest.skip(f"The ledger's contract is not checked on Azurite: {error}")


@pytest.fixture
def table_url(azurite_url: str) -> str:
    """A table that nobody has used."""
    return f"{azurite_url}/ledger{uuid4().hex}"


@pytest.fixture(params=["sqlite", "table"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store of each kind; `open` gives one more worker's view of it."""
    sqlite: list[SqliteLedger] = []
    tables: list[AzureTableLedger] = []

    def open_sqlite() -> SqliteLedger:
        sqlite.append(SqliteLedger(tmp_path / "ledger.sqlite3"))
        return sqlite[-1]

    async def spoil_sqlite(key: str, body: str) -> None:
        sqlite[-1]._db.execute("UPDATE entry SET body = ? WHERE key = ?", (body, key))

    if request.param == "sqlite":
        yield Store(open_sqlite, spoil_sqlite)
    else:
        url = request.getfixturevalue("table_url")

        def open_table() -> AzureTableLedger:
            tables.append(AzureTableLedger(url))
            return tables[-1]

        async def spoil_table(key: str, body: str) -> None:
            row = {"PartitionKey": "asset", "RowKey": f"k.{key}", "body": body}
            await tables[-1]._client.update_entity(row, mode=UpdateMode.MERGE)

        yield Store(open_table, spoil_table)
    for one in sqlite:
        one.close()
    for table in tables:
        await table.close()
