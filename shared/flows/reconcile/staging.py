"""Both sides and the ledger in a temporary SQLite file, and the SQL that finds the few records worth a closer look.

Keys fall into buckets. In each, what the two sides add and what the ledger expects of them must cancel out; only the
rows of buckets where it does not are joined, so that a million records that agree cost no index and no join. Until then
rows lie as they came, a page in one row of the file.

SQLite removes the file by itself, also when the process is killed, so that a sweep leaves nothing behind.
"""

import marshal
import sqlite3
from collections.abc import Iterator, Sequence
from itertools import compress
from types import TracebackType
from typing import Any, Final, Literal, Self

from shared.domain.sketch import Sketch
from shared.errors import Unavailable

CACHE_KIB: Final = 32 * 1024
BUCKETS: Final = 1 << 17
AGREED: Final = 0
OPEN: Final = 1
DELETED: Final = 2
"""What the ledger says of a record: settled, something is under way, or deleted in the CMMS."""

type LedgerRow = tuple[str, str | None, Sketch, Sketch, int]
type DynamicsRow = tuple[str, str, Sketch, bool]
type CmmsRow = tuple[str, Sketch]
type Source = Literal["ledger", "dynamics", "cmms"]

# Of the marshal format: this one looks for no object that comes twice, and there is none.
_PLAIN: Final = 2
_SCHEMA: Final = """
CREATE TABLE page (source TEXT, rows BLOB);
CREATE TABLE ledger (key TEXT PRIMARY KEY, id TEXT, cmms INTEGER, dynamics INTEGER, kind INTEGER) WITHOUT ROWID;
CREATE TABLE dynamics (id TEXT PRIMARY KEY, key TEXT, sketch INTEGER, inactive INTEGER) WITHOUT ROWID;
CREATE TABLE cmms (key TEXT, sketch INTEGER);
CREATE TABLE candidate (key TEXT PRIMARY KEY) WITHOUT ROWID;
"""
# Of each source: how its rows are kept, and where in a row the key is.
_TABLES: Final[dict[Source, tuple[str, int]]] = {
    "ledger": ("INSERT OR REPLACE INTO ledger VALUES (?, ?, ?, ?, ?)", 0),
    "dynamics": ("INSERT OR REPLACE INTO dynamics VALUES (?, ?, ?, ?)", 1),
    "cmms": ("INSERT INTO cmms VALUES (?, ?)", 0),
}
_INDEXES: Final = ("CREATE INDEX ledger_by_id ON ledger (id)", "CREATE INDEX cmms_by_key ON cmms (key, sketch)")
# A record needs no closer look only if everything is as the ledger remembers it; NULL never is.
_KNOWN: Final = """
SELECT l.key FROM ledger l LEFT JOIN cmms c ON c.key = l.key LEFT JOIN dynamics d ON d.id = l.id
WHERE ((l.kind = 0 AND c.sketch = l.cmms AND d.sketch = l.dynamics AND d.key = l.key)
    OR (l.kind = 2 AND c.key IS NULL AND (d.id IS NULL OR d.inactive))) IS NOT TRUE
"""
_ONLY_CMMS: Final = "SELECT c.key FROM cmms c WHERE NOT EXISTS (SELECT 1 FROM ledger l WHERE l.key = c.key)"
_UNBOUND: Final = "SELECT d.key FROM dynamics d WHERE NOT EXISTS (SELECT 1 FROM ledger l WHERE l.id = d.id)"
_DOUBLED: Final = "SELECT key, count(*) FROM cmms GROUP BY key HAVING count(*) > 1"


class Staging:
    """One entity's sweep. Rows come in any order; a Dynamics row given twice counts as it was given last.

    A failure of SQLite within the `with` block leaves it as Unavailable.
    """

    def __init__(self) -> None:
        self.ledger_rows = self.dynamics_rows = self.cmms_rows = 0
        self._sums = [0] * BUCKETS
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
        if isinstance(error, sqlite3.Error):
            raise Unavailable(
                f"The sweep's temporary file cannot be used: {error}. It takes about 300 bytes for each record, in the"
                " folder that SQLITE_TMPDIR or TMPDIR names."
            ) from error

    def add_ledger(self, rows: Sequence[LedgerRow]) -> None:
        """Add what the ledger remembers: key, id, both sketches and its state."""
        sums = self._sums
        for key, row_id, cmms, dynamics, kind in rows:
            if kind == AGREED and cmms is not None and dynamics is not None:
                sums[hash(key) % BUCKETS] -= hash((key, cmms)) + hash((key, row_id, dynamics))
            else:
                sums[hash(key) % BUCKETS] += 1  # expects nothing that would cancel out: its bucket is always odd
        self.ledger_rows += len(rows)
        self._keep("ledger", rows)

    def add_dynamics(self, rows: Sequence[DynamicsRow]) -> None:
        """Add Dynamics rows: id, key, sketch, inactive."""
        sums = self._sums
        for row_id, key, sketch, _ in rows:
            sums[hash(key) % BUCKETS] += hash((key, row_id, sketch))
        self.dynamics_rows += len(rows)
        self._keep("dynamics", rows)

    def add_cmms(self, rows: Sequence[CmmsRow]) -> None:
        """Add CMMS records: key and sketch. A key may come twice."""
        sums = self._sums
        for row in rows:
            sums[hash(row[0]) % BUCKETS] += hash(row)
        self.cmms_rows += len(rows)
        self._keep("cmms", rows)

    def _keep(self, source: Source, rows: Sequence[LedgerRow | DynamicsRow | CmmsRow]) -> None:
        self._db.execute("INSERT INTO page VALUES (?, ?)", (source, marshal.dumps(list(rows), _PLAIN)))

    def doubled(self) -> dict[str, int]:
        """The keys that the CMMS gave more than once, and how often. After `join`."""
        return dict(self._db.execute(_DOUBLED).fetchall())

    def join(self) -> None:
        """Say that everything was added: join what does not cancel out."""
        # A row whose key was changed lies in another bucket than its ledger: both are odd then.
        odd = set(compress(range(BUCKETS), self._sums))
        for source, (statement, place) in _TABLES.items():
            for (page,) in self._db.execute("SELECT rows FROM page WHERE source = ? ORDER BY rowid", (source,)):
                rows = marshal.loads(page)  # noqa: S302  # written above, in a file of this process alone
                self._db.executemany(
                    statement, [_storable(row, place) for row in rows if hash(row[place]) % BUCKETS in odd]
                )
        for statement in _INDEXES:
            self._db.execute(statement)
        for query in (_KNOWN, _ONLY_CMMS, _UNBOUND):
            self._db.execute(f"INSERT OR IGNORE INTO candidate {query}")

    def candidates(self, size: int) -> Iterator[list[str]]:
        """The keys that need a closer look, each once, `size` at a time."""
        found = self._db.execute("SELECT key FROM candidate")
        while chunk := found.fetchmany(size):
            yield [key for (key,) in chunk]


def _storable(row: tuple[Any, ...], place: int) -> tuple[Any, ...]:
    """A row that SQLite takes: a key with half a surrogate pair is as unusable as none."""
    key = row[place]
    if key.isascii():
        return row
    try:
        key.encode()
    except UnicodeEncodeError:
        return (*row[:place], "", *row[place + 1 :])
    return row
