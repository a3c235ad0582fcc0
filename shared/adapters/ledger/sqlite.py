"""The ledger in one SQLite file: for one machine, tests and the simulation."""

import sqlite3
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from msgspec import DecodeError

from shared.adapters.ledger.refusals import require_identities, unreadable
from shared.domain.link import Identity, IdentityKind, Link, LinkHash, Stored, known_identities
from shared.errors import ConfigurationError, LedgerUnreadable, LinkTooLarge, Unavailable

PAGE: Final = 1000
_CHUNK: Final = 500
# The three identities of a link, each of which belongs to one link of its entity. `key` is for people.
_COLUMNS: Final[Mapping[IdentityKind, str]] = {"cmms": "cmms_id", "key": "key_id", "row": "row_id"}
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS link (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    entity TEXT NOT NULL,
    etag INTEGER NOT NULL,
    cmms_id TEXT,
    key_id TEXT,
    row_id TEXT,
    key TEXT NOT NULL,
    hash_cmms TEXT NOT NULL,
    hash_dynamics TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS link_by_cmms_id ON link (entity, cmms_id) WHERE cmms_id IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS link_by_key_id ON link (entity, key_id) WHERE key_id IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS link_by_row_id ON link (entity, row_id) WHERE row_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS link_in_order ON link (entity, number);
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_INSERT: Final = """
INSERT INTO link (etag, cmms_id, key_id, row_id, key, hash_cmms, hash_dynamics, deleted, body, entity)
VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_UPDATE: Final = """
UPDATE link SET etag = etag + 1, cmms_id = ?, key_id = ?, row_id = ?, key = ?, hash_cmms = ?, hash_dynamics = ?,
deleted = ?, body = ? WHERE entity = ? AND number = ? AND etag = ?
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

    async def find(self, entity: str, identities: Collection[Identity]) -> Mapping[Identity, Stored | LedgerUnreadable]:
        """The links that have these identities; one that no link has is left out."""
        found: dict[Identity, Stored | LedgerUnreadable] = {}
        for kind, column in _COLUMNS.items():
            values = list(dict.fromkeys(identity.value for identity in identities if identity.kind == kind))
            for chunk in _chunks(values):
                marks = ",".join("?" * len(chunk))
                query = f"SELECT {column}, cmms_id, key_id, row_id, body, number, etag FROM link WHERE entity = ? AND {column} IN ({marks})"  # noqa: E501, S608  # only marks and names of columns
                with self._mapped():
                    rows = self._db.execute(query, (entity, *chunk)).fetchall()
                for value, *stored, number, etag in rows:
                    link = _link(entity, *stored)
                    found[Identity(kind, value)] = (
                        Stored(link=link, etag=f"{number}.{etag}") if isinstance(link, Link) else link
                    )
        return found

    async def write(self, entity: str, links: Sequence[Stored]) -> Sequence[Stored | LinkTooLarge | None]:
        """Compare and swap each link; one transaction for all of them, and none for nothing."""
        if not links:
            return ()
        require_identities(links)
        with self._mapped(), self._transaction():
            return [self._swap(entity, stored) for stored in links]

    async def scan(self, entity: str) -> AsyncIterator[Sequence[Link | LedgerUnreadable]]:
        """Every link, page by page, the oldest first."""
        async for rows in self._pages(entity, "cmms_id, key_id, row_id, body"):
            yield [_link(entity, *row) for *row, _ in rows]

    async def hashes(self, entity: str) -> AsyncIterator[Sequence[LinkHash]]:
        """Every link's identities and row hashes, page by page, the oldest first."""
        async for rows in self._pages(entity, "cmms_id, row_id, key, hash_cmms, hash_dynamics, deleted"):
            *columns, deleted, _ = zip(*rows, strict=True)
            yield list(map(LinkHash, *columns, map(bool, deleted)))

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

    async def swap_state(self, name: str, before: str | None, after: str) -> bool:
        """Store a text where the one before is still there."""
        with self._mapped(), self._transaction():
            row = self._db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
            if before != (None if row is None else row[0]):
                return False
            self._db.execute("INSERT OR REPLACE INTO state (name, value) VALUES (?, ?)", (name, after))
            return True

    async def _pages(self, entity: str, columns: str) -> AsyncIterator[list[Any]]:
        """These columns of each link, followed by its number."""
        after = 0
        while True:
            with self._mapped():
                rows = self._db.execute(
                    f"SELECT {columns}, number FROM link WHERE entity = ? AND number > ? ORDER BY number LIMIT ?",  # noqa: S608  # only names of columns
                    (entity, after, PAGE),
                ).fetchall()
            if not rows:
                return
            yield rows
            after = rows[-1][-1]

    def _swap(self, entity: str, stored: Stored) -> Stored | None:
        link = stored.link
        named = {identity.kind: identity.value for identity in link.identities}
        hashes = link.hashes
        row = (
            *(named.get(kind) for kind in _COLUMNS), link.key, hashes["cmms"], hashes["dynamics"],
            link.deleted_at is not None, link.to_json(), entity,
        )  # fmt: skip
        try:
            if stored.etag is None:
                number, etag = self._db.execute(_INSERT, row).lastrowid, 1
            else:
                number, etag = map(int, stored.etag.split("."))
                if self._db.execute(_UPDATE, (*row, number, etag)).rowcount != 1:
                    return None
                etag += 1
        except sqlite3.IntegrityError:
            return None  # one of the identities belongs to another link
        return Stored(link=link, etag=f"{number}.{etag}")

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


def _link(
    entity: str, cmms_id: str | None, key_id: str | None, row_id: str | None, body: str
) -> Link | LedgerUnreadable:
    """A link from its body, if that names the identities of the other columns."""
    named = known_identities(cmms_id, row_id, key_id)
    try:
        link = Link.parse(body)
    except DecodeError as error:
        return unreadable(entity, named[0], error)
    return link if link.identities == named else unreadable(entity, named[0])


def _chunks(values: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
