"""What is particular to the ledger in a file."""

import sqlite3
from pathlib import Path

import pytest

from shared.adapters.ledger import SqliteLedger
from shared.errors import ConfigurationError, Unavailable
from tests.ledger.store import cmms, find, fresh, hashed, row, scanned, stored_one, write_one


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
        await ledger.write("asset", [fresh(cmms("A"))])
    other.close()
    assert await find(ledger, cmms("A")) == {}
    ledger.close()


async def test_a_file_that_was_closed_is_unavailable(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite3")
    ledger.close()
    for call in (
        find(ledger, cmms("A")), write_one(ledger, fresh(cmms("A"))), scanned(ledger), hashed(ledger),
        ledger.get_state(["a"]), ledger.put_state({"a": "b"}),
    ):  # fmt: skip
        with pytest.raises(Unavailable):
            await call


async def test_what_was_stored_outlives_the_worker(tmp_path: Path) -> None:
    first = SqliteLedger(tmp_path / "ledger.sqlite3")
    written = await stored_one(first, fresh(cmms("A"), row("1")))
    first.close()
    second = SqliteLedger(tmp_path / "ledger.sqlite3")
    assert (await find(second, row("1")))[row("1")] == written
    second.close()


async def test_a_link_deleted_by_hand_gives_its_etag_to_no_other(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.sqlite3")
    deleted = await stored_one(ledger, fresh(cmms("A")))
    ledger._db.execute("DELETE FROM link")
    met_anew = await stored_one(ledger, fresh(cmms("A")))
    assert met_anew.etag != deleted.etag
    assert await write_one(ledger, deleted) is None
    ledger.close()
