"""The ledger in one SQLite file: for one machine, tests and the simulation."""

import sqlite3
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from shared.adapters.ledger.refusals import bound_elsewhere, unreadable
from shared.domain.ledger import Entry, Stored
from shared.errors import ConfigurationError, KeyNotUsable, LedgerUnreadable, Unavailable

PAGE: Final = 1000
_CHUNK: Final = 500
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entry (
    entity TEXT NOT NULL,
    key TEXT NOT NULL,
    etag INTEGER NOT NULL,
    dynamics_id TEXT,
    body TEXT NOT NULL,
    PRIMARY KEY (entity, key)
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS entry_by_id ON entry (entity, dynamics_id) WHERE dynamics_id IS NOT NULL;
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class SqliteLedger:
    """Compare-and-swap over SQLite. Calls are short, so they run on the caller's thread."""

    def __init__(self, path: Path | str) -> None:
        """Open or create the file; `":memory:"` keeps the ledger in memory."""
        try:
            if path != ":memory:":
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=10.0)
        except (sqlite3.Error, OSError) as error:
            raise _unusable(path, error) from error
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            self._db.close()
            raise _unusable(path, error) from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    async def read(self, entity: str, keys: Collection[str]) -> Mapping[str, Stored | LedgerUnreadable]:
        """An entry for every key asked for."""
        found: dict[str, Stored | LedgerUnreadable] = {key: Stored(entry=Entry(key=key)) for key in keys}
        with self._mapped():
            for chunk in _chunks(list(keys)):
                marks = ",".join("?" * len(chunk))
                rows = self._db.execute(
                    f"SELECT key, etag, body FROM entry WHERE entity = ? AND key IN ({marks})",  # noqa: S608  # only marks
                    (entity, *chunk),
                )
                for key, etag, body in rows:
                    entry = _entry(entity, key, body)
                    found[key] = Stored(entry=entry, etag=str(etag)) if isinstance(entry, Entry) else entry
        return found

    async def keys_of(self, entity: str, ids: Collection[str]) -> Mapping[str, str]:
        """The keys that Dynamics ids are bound to."""
        found: dict[str, str] = {}
        with self._mapped():
            for chunk in _chunks(list(ids)):
                marks = ",".join("?" * len(chunk))
                found.update(
                    self._db.execute(
                        f"SELECT dynamics_id, key FROM entry WHERE entity = ? AND dynamics_id IN ({marks})",  # noqa: S608  # only marks
                        (entity, *chunk),
                    ).fetchall()
                )
        return found

    async def write(self, entity: str, entries: Sequence[Stored]) -> Sequence[Stored | KeyNotUsable | None]:
        """Compare and swap each entry; one transaction for all of them."""
        with self._mapped(), self._transaction():
            return [self._swap(entity, stored) for stored in entries]

    async def move(self, entity: str, old: Stored, new: Stored) -> bool:
        """Store both entries, or neither."""
        with self._mapped():
            self._db.execute("BEGIN IMMEDIATE")
            moved = False
            try:
                moved = all(isinstance(self._swap(entity, stored), Stored) for stored in (old, new))
            finally:
                self._db.execute("COMMIT" if moved else "ROLLBACK")
            return moved

    async def get_state(self, names: Collection[str]) -> Mapping[str, str]:
        """The texts that there are."""
        with self._mapped():
            marks = ",".join("?" * len(names))
            rows = self._db.execute(f"SELECT name, value FROM state WHERE name IN ({marks})", tuple(names))  # noqa: S608  # only marks
            return dict(rows.fetchall())

    async def put_state(self, values: Mapping[str, str | None]) -> None:
        """Store texts; all of them at once."""
        with self._mapped(), self._transaction():
            for name, value in values.items():
                if value is None:
                    self._db.execute("DELETE FROM state WHERE name = ?", (name,))
                else:
                    self._db.execute("INSERT OR REPLACE INTO state (name, value) VALUES (?, ?)", (name, value))

    async def bodies(self, entity: str) -> AsyncIterator[Sequence[tuple[str, str]]]:
        """Every key and its entry as JSON, page by page, in the order of the keys."""
        async for rows in self._scan(entity):
            yield rows

    async def scan(self, entity: str) -> AsyncIterator[Sequence[Entry | LedgerUnreadable]]:
        """Every entry, page by page, in the order of the keys."""
        async for rows in self._scan(entity):
            yield [_entry(entity, key, body) for key, body in rows]

    async def _scan(self, entity: str) -> AsyncIterator[list[tuple[str, str]]]:
        after = ""
        while True:
            with self._mapped():
                rows = self._db.execute(
                    "SELECT key, body FROM entry WHERE entity = ? AND key > ? ORDER BY key LIMIT ?",
                    (entity, after, PAGE),
                ).fetchall()
            if not rows:
                return
            yield rows
            after = rows[-1][0]

    def _swap(self, entity: str, stored: Stored) -> Stored | KeyNotUsable | None:
        entry = stored.entry
        body = entry.model_dump_json(exclude_defaults=True)
        try:
            if stored.etag is None:
                done = self._db.execute(
                    "INSERT INTO entry (entity, key, etag, dynamics_id, body) VALUES (?, ?, 1, ?, ?)"
                    " ON CONFLICT (entity, key) DO NOTHING",
                    (entity, entry.key, entry.dynamics_id, body),
                )
                etag = 1
            else:
                etag = int(stored.etag) + 1
                done = self._db.execute(
                    "UPDATE entry SET etag = ?, dynamics_id = ?, body = ? WHERE entity = ? AND key = ? AND etag = ?",
                    (etag, entry.dynamics_id, body, entity, entry.key, int(stored.etag)),
                )
        except sqlite3.IntegrityError:
            return bound_elsewhere(entry)
        return Stored(entry=entry, etag=str(etag)) if done.rowcount == 1 else None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise Unavailable(f"The ledger cannot be used: {error}.") from error


def _unusable(path: Path | str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"The ledger {path} cannot be opened: {error}. Set SYNC_LEDGER to sqlite:/// and a writable path."
    )


def _entry(entity: str, key: str, body: str) -> Entry | LedgerUnreadable:
    try:
        entry = Entry.model_validate_json(body)
    except ValidationError as error:
        return unreadable(entity, key, error)
    return entry if entry.key == key else unreadable(entity, key)


def _chunks(values: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
