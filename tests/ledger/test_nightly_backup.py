"""The night's backup: what the function asks of the wiring."""

import logging
from pathlib import Path
from typing import Any

import pytest

from functions import backup as function
from shared.adapters.ledger import AzureTableLedger, backup
from shared.domain.link import Identity
from shared.errors import Unavailable
from shared.settings import Settings
from shared.wiring import Wiring
from tests.ledger.store import fresh


def wiring_for(ledger: str, location: str) -> Wiring:
    wiring = Wiring()
    wiring.settings = Settings(
        service_bus_namespace="localhost",
        dynamics_365_resource_url="https://contoso.crm.dynamics.com",
        dynamics_365_webhook_secret="a-secret-of-this-test",
        sync_ledger=ledger,
        backup_location=location,
    )
    return wiring


async def test_a_backup_is_kept_under_the_time_of_its_night(table_url: str, tmp_path: Path) -> None:
    ledger = AzureTableLedger(table_url)
    await ledger.write("asset", [fresh(Identity("cmms", "one"))])
    await ledger.close()
    where = await wiring_for(table_url, str(tmp_path)).back_up()
    (kept,) = tmp_path.iterdir()  # noqa: ASYNC240  # a test's own folder
    assert where == str(kept)
    assert kept.name.startswith("ledger-2")
    assert kept.name.endswith("Z.jsonl.gz")
    with kept.open("rb") as source:
        assert len(list(backup.read(source))) == 1


@pytest.mark.parametrize(
    ("ledger", "location"),
    [
        pytest.param("sqlite:///ledger.sqlite3", "backups", id="a ledger that is a file"),
        pytest.param("https://account.table.core.windows.net/ledger", "", id="nowhere to keep it"),
    ],
)
async def test_nothing_is_kept_where_nothing_can_be(ledger: str, location: str) -> None:
    assert await wiring_for(ledger, location).back_up() is None


class Nights:
    """The wiring of a night: where its backup is kept, or what went wrong."""

    def __init__(self, outcome: str | Exception | None) -> None:
        self.outcome = outcome

    async def back_up(self) -> str | None:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


async def night(monkeypatch: pytest.MonkeyPatch, outcome: str | Exception | None) -> None:
    monkeypatch.setattr(function, "wiring", Nights(outcome))
    handler: Any = function.backup
    await handler._function._func(None)


@pytest.mark.parametrize(
    ("outcome", "says"), [("backups/one.jsonl.gz", "Kept a backup of the ledger: backups/one"), (None, "No backup")]
)
async def test_a_night_says_what_it_kept(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, outcome: str | None, says: str
) -> None:
    caplog.set_level(logging.INFO)
    await night(monkeypatch, outcome)
    assert says in caplog.text


async def test_a_night_that_fails_is_a_failed_invocation_with_its_cause(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Unavailable):
        await night(monkeypatch, Unavailable("The ledger's table did not answer in time."))
    assert "The function backup failed: unavailable: The ledger's table did not answer" in caplog.text
