"""A table of each side in a temporary SQLite file, and the SQL that finds the few records worth a closer look.

SQLite removes the file by itself, also when the process is killed, so that a sweep leaves nothing behind.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Final, Self

from shared.domain.sketch import Sketch

CACHE_KIB: Final = 48 * 1024
AGREED: Final = 0
OPEN: Final = 1
DELETED: Final = 2
"""What the ledger says of a record: settled, something is under way, or deleted in the CMMS."""

type LedgerRow = tuple[str, str | None, Sketch, Sketch, int]

_SCHEMA: Final = """
CREATE TABLE ledger (key TEXT PRIMARY KEY, id TEXT, cmms INTEGER, dynamics INTEGER, kind INTEGER) WITHOUT ROWID;
CREATE TABLE dynamics (id TEXT PRIMARY KEY, key TEXT, sketch INTEGER, inactive INTEGER) WITHOUT ROWID;
CREATE TABLE cmms (key TEXT, sketch INTEGER);
"""
# A record needs no closer look only if everything is as the ledger remembers it; NULL never is.
_KNOWN: Final = """
SELECT l.key FROM ledger l LEFT JOIN cmms c ON c.key = l.key LEFT JOIN dynamics d ON d.id = l.id
WHERE ((l.kind = 0 AND c.sketch = l.cmms AND d.sketch = l.dynamics AND d.key = l.key)
    OR (l.kind = 2 AND c.key IS NULL AND (d.id IS NULL OR d.inactive))) IS NOT TRUE
"""
_ONLY_CMMS: Final = "SELECT DISTINCT c.key FROM cmms c WHERE NOT EXISTS (SELECT 1 FROM ledger l WHERE l.key = c.key)"
_UNBOUND: Final = """
SELECT DISTINCT d.key FROM dynamics d LEFT JOIN ledger l ON l.key = d.key AND l.id = d.id
WHERE l.key IS NULL AND NOT EXISTS (SELECT 1 FROM ledger o WHERE o.id = d.id)
"""
_DOUBLED: Final = "SELECT key, count(*) FROM cmms GROUP BY key HAVING count(*) > 1"


class Staging:
    """One entity's sweep. Rows come in any order; a row given twice counts as it was given last."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-{CACHE_KIB};")
        self._db.executescript(_SCHEMA)
        self._db.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def add_ledger(self, rows: Iterable[LedgerRow]) -> None:
        """Add what the ledger remembers: key, id, both sketches and its state."""
        self._db.executemany("INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, ?, ?)", rows)

    def add_dynamics(self, rows: Sequence[tuple[str, str, Sketch, bool]]) -> None:
        """Add Dynamics rows: id, key, sketch, inactive."""
        self._db.executemany("INSERT OR REPLACE INTO dynamics VALUES (?, ?, ?, ?)", rows)

    def add_cmms(self, rows: Sequence[tuple[str, Sketch]]) -> None:
        """Add CMMS records: key and sketch. A key may come twice."""
        self._db.executemany("INSERT INTO cmms VALUES (?, ?)", rows)

    def index(self) -> None:
        """Say that everything was added."""
        self._db.execute("CREATE INDEX cmms_by_key ON cmms (key, sketch)")
        self._db.execute("CREATE INDEX ledger_by_id ON ledger (id)")

    def counts(self) -> tuple[int, int, int]:
        """How many rows the ledger, Dynamics and the CMMS have."""
        ledger, dynamics, cmms = (
            self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608  # our own names
            for table in ("ledger", "dynamics", "cmms")
        )
        return ledger, dynamics, cmms

    def doubled(self) -> dict[str, int]:
        """The keys that the CMMS gave more than once, and how often."""
        return dict(self._db.execute(_DOUBLED).fetchall())

    def candidates(self, size: int) -> Iterator[list[str]]:
        """The keys that need a closer look, each once, `size` at a time."""
        self._db.execute("CREATE TEMP TABLE candidate (key TEXT PRIMARY KEY) WITHOUT ROWID")
        for query in (_KNOWN, _ONLY_CMMS, _UNBOUND):
            self._db.execute(f"INSERT OR IGNORE INTO candidate {query}")  # our own text
        found = self._db.execute("SELECT key FROM candidate")
        while chunk := found.fetchmany(size):
            yield [key for (key,) in chunk]
