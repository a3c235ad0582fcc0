"""What is particular to the ledger in a file."""

import sqlite3
from pathlib import Path

import pytest

from shared.adapters.ledger import SqliteLedger
from shared.errors import ConfigurationError, Unavailable
from tests.ledger.store import fresh, read


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="SYNC_LEDGER") as info:
        SqliteLedger(tmp_path / "file" / "ledger.sqlite3")
    assert str(tmp_path) in info.value.message


def test_a_file_that_is_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").write_text("not a database, but long enough to look like one" * 20)
    with pytest.raises(ConfigurationError, match=r"ledger\.sqlite3"):
        SqliteLedger(tmp_path / "ledger.sqlite3")


async def test_a_file_that_is_held_too_long_is_unavailable(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite3")
    ledger._db.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(tmp_path / "ledger.sqlite3", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable):
        await ledger.write("asset", [fresh("A")])
    with pytest.raises(Unavailable):
        await ledger.move("asset", fresh("A"), fresh("B"))
    other.close()
    assert (await read(ledger, ["A"]))["A"].etag is None
    ledger.close()


async def test_what_was_stored_outlives_the_worker(tmp_path: Path) -> None:
    first = SqliteLedger(tmp_path / "ledger.sqlite3")
    written = await first.write("asset", [fresh("A", "1")])
    first.close()
    second = SqliteLedger(tmp_path / "ledger.sqlite3")
    assert (await read(second, ["A"]))["A"] == written[0]
    second.close()
