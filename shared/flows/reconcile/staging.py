"""Both sides and the ledger in a temporary SQLite file, and the SQL that finds the few records worth a closer look.

Each side is compared with the ledger by itself: what it gives, as (id, hash), against what the ledger's links expect of
it. Ids fall into buckets; in each, what the side adds and what the ledger expects must cancel out. Only the rows of
buckets where it does not are joined, so that a million records that agree cost no index and no join. Until then rows
lie as they came, a page in one row of the file.
"""

import marshal
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from typing import Any, Final, Literal

from shared.domain.link import Identity, LinkHash
from shared.flows.scratch import Scratch

BUCKETS: Final = 1 << 17

type DynamicsRow = tuple[str, str, str, bool]
type CmmsRow = tuple[str, str, str]
type Source = Literal["ledger", "dynamics", "cmms"]

# Pages are written and read in their order: a larger cache would only hold what is not asked for again.
_CACHE_KIB: Final = 8 * 1024
# Of the marshal format: this one looks for no object that comes twice, and there is none.
_PLAIN: Final = 2
_SCHEMA: Final = """
CREATE TABLE page (source TEXT, rows BLOB);
CREATE TABLE ledger (cmms_id TEXT, row_id TEXT, key TEXT, cmms TEXT, dynamics TEXT, deleted INTEGER,
    differs INTEGER);
CREATE TABLE dynamics (id TEXT PRIMARY KEY, key TEXT, hash TEXT, inactive INTEGER) WITHOUT ROWID;
CREATE TABLE cmms (id TEXT PRIMARY KEY, key TEXT, hash TEXT) WITHOUT ROWID;
"""
_TABLES: Final[dict[Source, str]] = {
    "ledger": "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?)",
    "dynamics": "INSERT OR REPLACE INTO dynamics VALUES (?, ?, ?, ?)",
    "cmms": "INSERT OR REPLACE INTO cmms VALUES (?, ?, ?)",
}
_INDEXES: Final = (
    "CREATE INDEX ledger_by_cmms ON ledger (cmms_id)",
    "CREATE INDEX ledger_by_row ON ledger (row_id)",
    "CREATE INDEX cmms_by_key ON cmms (key)",
)
# A link needs no closer look only if both sides are as the ledger expects them; NULL never is.
_LINKED: Final = """
SELECT CASE WHEN l.cmms_id IS NOT NULL THEN 'cmms' WHEN l.row_id IS NOT NULL THEN 'row' ELSE 'key' END,
    coalesce(l.cmms_id, l.row_id, l.key)
FROM ledger l LEFT JOIN cmms c ON c.id = l.cmms_id LEFT JOIN dynamics d ON d.id = l.row_id
WHERE l.differs AND ((NOT l.deleted AND c.hash = l.cmms AND d.hash = l.dynamics)
    OR (l.deleted AND c.id IS NULL AND (d.id IS NULL OR d.inactive))) IS NOT TRUE
"""
_ONLY_CMMS: Final = "SELECT 'cmms', c.id FROM cmms c WHERE NOT EXISTS (SELECT 1 FROM ledger l WHERE l.cmms_id = c.id)"
# An unlinked row whose key an unlinked record has is looked at as that record.
_ONLY_DYNAMICS: Final = """
SELECT 'row', d.id FROM dynamics d WHERE NOT EXISTS (SELECT 1 FROM ledger l WHERE l.row_id = d.id)
    AND NOT EXISTS (
        SELECT 1 FROM cmms c WHERE c.key = d.key AND NOT EXISTS (SELECT 1 FROM ledger l WHERE l.cmms_id = c.id))
"""
# The record of a link that does not differ has the link's key, and may not be in the table of records.
_DOUBLED: Final = """
SELECT key, count(*) FROM (
    SELECT id, key FROM cmms
    UNION SELECT cmms_id, key FROM ledger WHERE cmms_id IS NOT NULL AND NOT deleted AND NOT differs
) GROUP BY key HAVING count(*) > 1
"""


class Staging(Scratch):
    """One entity's sweep. Rows come in any order; one that is given twice counts as it was given last."""

    def __init__(self) -> None:
        super().__init__(_SCHEMA, "The sweep's temporary file", "about 300 bytes")
        self._db.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        self.ledger_rows = self.dynamics_rows = self.cmms_rows = 0
        self._sums = [0] * BUCKETS

    def add_ledger(self, links: Sequence[LinkHash]) -> None:
        """Add what the ledger expects of both sides."""
        sums = self._sums
        for cmms_id, row_id, _, cmms, dynamics, deleted in links:
            # A link of a deleted record, or of one side only, expects nothing that would cancel out.
            sums[hash(cmms_id) % BUCKETS] -= deleted or hash((cmms_id, cmms))
            sums[hash(row_id) % BUCKETS] -= deleted or hash((row_id, dynamics))
        self.ledger_rows += len(links)
        # The marshal format knows no named tuples.
        self._keep("ledger", list(map(tuple, links)))

    def add_dynamics(self, rows: Sequence[DynamicsRow]) -> None:
        """Add Dynamics rows: id, key, hash, inactive."""
        self._expect([(row_id, row_hash) for row_id, _, row_hash, _ in rows])
        self.dynamics_rows += len(rows)
        self._keep("dynamics", rows)

    def add_cmms(self, rows: Sequence[CmmsRow]) -> None:
        """Add CMMS records: id, key, hash."""
        self._expect([(record_id, row_hash) for record_id, _, row_hash in rows])
        self.cmms_rows += len(rows)
        self._keep("cmms", rows)

    def _expect(self, pairs: Iterable[tuple[str, str]]) -> None:
        sums = self._sums
        for pair in pairs:
            sums[hash(pair[0]) % BUCKETS] += hash(pair)

    def _keep(self, source: Source, rows: Any) -> None:
        self._db.execute("INSERT INTO page VALUES (?, ?)", (source, marshal.dumps(rows, _PLAIN)))

    def join(self) -> None:
        """Say that everything was added: join what does not cancel out."""
        odd = set(compress(range(BUCKETS), self._sums))
        # Both sides of a link are needed where one of them differs; what comes along needs its own link, to be known.
        differing = (link for page in self._pages("ledger") for link in page if _touches(link, odd))
        wanted = odd | {hash(name) % BUCKETS for link in differing for name in link[:2]}
        sides: tuple[Source, ...] = ("dynamics", "cmms")
        for source in sides:
            for page in self._pages(source):
                rows = [_storable(row) for row in page if hash(row[0]) % BUCKETS in wanted]
                self._db.executemany(_TABLES[source], rows)
        # A record that agrees is met again where another one has its key.
        keys = {key for (key,) in self._db.execute("SELECT key FROM cmms")}
        for page in self._pages("ledger"):
            links = [link for link in page if _touches(link, wanted) or link[2] in keys]
            self._db.executemany(_TABLES["ledger"], [(*link, _touches(link, odd)) for link in links])
        for statement in _INDEXES:
            self._db.execute(statement)

    def doubled(self) -> dict[str, int]:
        """The keys that the CMMS gave to more than one record, and to how many. After `join`."""
        return dict(self._db.execute(_DOUBLED).fetchall())

    def candidates(self, size: int, *, unmet: bool = True) -> Iterator[list[Identity]]:
        """The records that need a closer look, each once, `size` at a time. After `join`.

        Without `unmet` those that the ledger does not know are left out.
        """
        found = self._db.execute(f"{_LINKED} UNION {_ONLY_CMMS} UNION {_ONLY_DYNAMICS}" if unmet else _LINKED)
        while chunk := found.fetchmany(size):
            yield [Identity(kind, value) for kind, value in chunk]

    def _pages(self, source: Source) -> Iterator[list[tuple[Any, ...]]]:
        # One page in memory at a time: all of a source's would take as much as the file.
        numbers = self._db.execute("SELECT rowid FROM page WHERE source = ? ORDER BY rowid", (source,)).fetchall()
        for number in numbers:
            (page,) = self._db.execute("SELECT rows FROM page WHERE rowid = ?", number).fetchone()
            yield marshal.loads(page)  # noqa: S302  # written above, in a file of this process alone


def _touches(link: tuple[Any, ...], buckets: set[int]) -> bool:
    """Whether one of a link's identities falls into one of the buckets."""
    return hash(link[0]) % BUCKETS in buckets or hash(link[1]) % BUCKETS in buckets


def _storable(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row that SQLite takes: a key with half a surrogate pair is as unusable as none."""
    key = row[1]
    try:
        key.encode()
    except UnicodeEncodeError:
        return (row[0], "", *row[2:])
    return row
