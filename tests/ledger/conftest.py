from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from azure.data.tables import UpdateMode

from shared.adapters.ledger import AzureTableLedger, SqliteLedger
from shared.adapters.ledger.rows import name_of
from shared.domain.link import Identity
from tests.azurite import azurite
from tests.ledger.store import Store

_COLUMNS = {"cmms": "cmms_id", "row": "row_id", "key": "key_id"}


@pytest.fixture(scope="session")
def azurite_url() -> Iterator[str]:
    """The address of a running Azurite."""
    with azurite("table", "The ledger's contract") as url:
        yield url


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

    async def spoil_sqlite(identity: Identity, body: str) -> None:
        column = _COLUMNS[identity.kind]
        sqlite[-1]._db.execute(f"UPDATE link SET body = ? WHERE {column} = ?", (body, identity.value))  # noqa: S608  # a column of three

    if request.param == "sqlite":
        yield Store(open_sqlite, spoil_sqlite)
    else:
        url = request.getfixturevalue("table_url")

        def open_table() -> AzureTableLedger:
            tables.append(AzureTableLedger(url))
            return tables[-1]

        async def spoil_table(identity: Identity, body: str) -> None:
            row = {"PartitionKey": "asset", "RowKey": name_of(identity), "body": body}
            await tables[-1]._table.client.update_entity(row, mode=UpdateMode.MERGE)

        yield Store(open_table, spoil_table)
    for one in sqlite:
        one.close()
    for table in tables:
        await table.close()
