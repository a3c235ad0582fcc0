"""Backups of both systems and of the ledger, taken and put back as a person does."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.attack.audit import Audit
from tests.attack.systems import Systems


class Backups:
    """Of a running stack. What a person stops before a restore is stopped by the caller."""

    def __init__(self, systems: Systems, audit: Audit) -> None:
        self._systems = systems
        self._audit = audit

    def of_dynamics(self) -> None:
        """Take a backup of the organization."""
        self._systems.ask("PUT", f"{self._systems.stack.dataverse_url}/_emulator/snapshots/backup")

    def restore_dynamics(self) -> None:
        """Put it back."""
        self._systems.ask("POST", f"{self._systems.stack.dataverse_url}/_emulator/snapshots/backup")

    def of_cmms(self) -> Path:
        """Copy the CMMS's database, as its administrator does."""
        return _copy(self._systems.cmms_path, self._systems.stack.folder / "cmms.backup.sqlite3")

    def restore_cmms(self, backup: Path) -> None:
        """Put the copy back, and let ids go on behind those that were given out: the runbook asks for that."""
        with closing(self._systems.database()) as database:
            given = database.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
        _put_back(backup, self._systems.cmms_path)
        with closing(self._systems.database()) as database, database:
            for row in given:
                database.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (row[1], row[0]))
        self._audit.went_back()

    def of_ledger(self) -> Path:
        """Copy the ledger's file."""
        return _copy(self._systems.stack.ledger_path, self._systems.stack.folder / "ledger.backup.sqlite3")

    def restore_ledger(self, backup: Path) -> None:
        """Put it back; what it named since the backup goes with it, and was on record all the same."""
        self._systems.ledger()
        _put_back(backup, self._systems.stack.ledger_path)


def _copy(path: Path, to: Path) -> Path:
    with closing(sqlite3.connect(path, timeout=60)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)
    return to


def _put_back(backup: Path, path: Path) -> None:
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    shutil.copyfile(backup, path)
