"""Backups as an operator takes them, over Azurite."""

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from ops.ledger import app
from shared.adapters.ledger import AzureTableLedger
from shared.domain.link import Identity
from tests.azurite import azurite
from tests.ledger.store import fresh


@pytest.fixture(scope="module")
def azurite_url() -> Iterator[str]:
    with azurite("table", "The ledger's backup") as url:
        yield url


@pytest.fixture
def table_url(azurite_url: str) -> str:
    return f"{azurite_url}/ledger{uuid4().hex}"


@pytest.fixture
def settings(tmp_path: Path, table_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    values = {
        "DYNAMICS_365_RESOURCE_URL": "http://127.0.0.1:9",
        "DYNAMICS_365_WEBHOOK_SECRET": "a-secret-of-this-test",
        "SYNC_LEDGER": table_url,
        "ServiceBusConnection__fullyQualifiedNamespace": "localhost",
    }
    for name in values:
        monkeypatch.setenv(name, "")
    path = tmp_path / "app.json"
    path.write_text(json.dumps({"Values": values}), encoding="utf-8")
    return str(path)


async def fill(url: str) -> None:
    ledger = AzureTableLedger(url)
    await ledger.write("asset", [fresh(Identity("cmms", "one")), fresh(Identity("cmms", "two"))])
    await ledger.close()


async def rows(url: str) -> list[str]:
    ledger = AzureTableLedger(url)
    found = sorted([row["RowKey"] async for row in ledger.client.list_entities()])
    await ledger.close()
    return found


async def forget(url: str) -> None:
    ledger = AzureTableLedger(url)
    async for row in ledger.client.list_entities():
        await ledger.client.delete_entity(row)
    await ledger.close()


def test_a_backup_is_taken_and_had_back(settings: str, table_url: str, tmp_path: Path) -> None:
    import asyncio  # noqa: PLC0415  # the command runs a loop of its own

    file = tmp_path / "ledger.jsonl.gz"
    asyncio.run(fill(table_url))
    before = asyncio.run(rows(table_url))
    assert CliRunner().invoke(app, ["export", str(file), "--settings", settings]).exit_code == 0
    asyncio.run(forget(table_url))
    asked = CliRunner().invoke(app, ["restore", str(file), "--settings", settings], input="n\n")
    assert (asked.exit_code, asyncio.run(rows(table_url))) == (1, [])
    assert CliRunner().invoke(app, ["restore", str(file), "--settings", settings, "--yes"]).exit_code == 0
    assert asyncio.run(rows(table_url)) == before
    assert len(before) >= 2


def test_a_backup_replaces_no_file(settings: str, tmp_path: Path) -> None:
    file = tmp_path / "there"
    file.write_text("kept", encoding="utf-8")
    result = CliRunner().invoke(app, ["export", str(file), "--settings", settings])
    assert (result.exit_code, file.read_text(encoding="utf-8")) == (2, "kept")


@pytest.mark.parametrize("content", [None, b"no backup"])
def test_what_is_no_backup_changes_nothing(settings: str, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "damaged"
    if content is not None:
        file.write_bytes(content)
    result = CliRunner().invoke(app, ["restore", str(file), "--settings", settings, "--yes"])
    assert result.exit_code in {1, 2}
    assert "Traceback" not in result.output


def test_a_ledger_that_is_a_file_is_copied(settings: str, tmp_path: Path) -> None:
    values = json.loads(Path(settings).read_text(encoding="utf-8"))
    values["Values"]["SYNC_LEDGER"] = "sqlite:///somewhere.sqlite3"
    Path(settings).write_text(json.dumps(values), encoding="utf-8")
    result = CliRunner().invoke(app, ["export", str(tmp_path / "x"), "--settings", settings])
    assert (result.exit_code, "copy it" in result.output) == (2, True)
