"""Both sides and the ledger in a temporary SQLite file, and the SQL that finds the few records worth a closer look.

Each side is compared with the ledger by itself: what it gives, as (id, hash), against what the ledger's links expect of
it. Ids fall into buckets; in each, what the side adds and what the ledger expects must cancel out. Only the rows of odd
buckets, where it does not, are joined, so that a million records that agree cost no index and no join. Until then rows
lie as they came, a page in one row of the file, column by column.
"""

import marshal
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from operator import neg, or_
from typing import Any, Final, Literal

from shared.domain.link import Identity, LinkHash
from shared.flows.scratch import Scratch

type DynamicsRow = tuple[str, str, str, bool]
type CmmsRow = tuple[str, str, str]
type Column = Sequence[Any]
type Columns = tuple[Column, ...]
type Side = Literal["dynamics", "cmms"]
type Source = Literal["ledger"] | Side

BUCKETS: Final = 1 << 17
_BUCKET: Final = BUCKETS - 1
_SIDES: Final[tuple[Side, ...]] = ("dynamics", "cmms")
# So many places for names: a hundred thousand are mistaken for one of those that were added in a tenth of the cases.
_ROOM: Final = 1 << 20
# Pages are written and read in their order: a larger cache would only hold what is not asked for again.
_CACHE_KIB: Final = 8 * 1024
# Of the marshal format: this one looks for no object that comes twice, and there is none.
_PLAIN: Final = 2
# `odd` rows are those of odd buckets; others come along with a link. An agreeing link only tells its record's key.
_SCHEMA: Final = """
CREATE TABLE page (source TEXT, columns BLOB);
CREATE TABLE ledger (cmms_id TEXT, row_id TEXT, key TEXT, cmms TEXT, dynamics TEXT, deleted INTEGER);
CREATE TABLE dynamics (id TEXT PRIMARY KEY, key TEXT, hash TEXT, inactive INTEGER, odd INTEGER) WITHOUT ROWID;
CREATE TABLE cmms (id TEXT PRIMARY KEY, key TEXT, hash TEXT, odd INTEGER) WITHOUT ROWID;
CREATE TABLE agreeing (id TEXT, key TEXT);
"""
_LINK: Final = "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?)"
_ROW: Final[dict[Side, str]] = {
    "dynamics": "INSERT OR REPLACE INTO dynamics VALUES (?, ?, ?, ?, ?)",
    "cmms": "INSERT OR REPLACE INTO cmms VALUES (?, ?, ?, ?)",
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
WHERE ((NOT l.deleted AND c.hash = l.cmms AND d.hash = l.dynamics)
    OR (l.deleted AND c.id IS NULL AND (d.id IS NULL OR d.inactive))) IS NOT TRUE
"""
# What has no link lies in an odd bucket.
_ONLY_CMMS: Final = """
SELECT 'cmms', c.id FROM cmms c WHERE c.odd AND NOT EXISTS (SELECT 1 FROM ledger l WHERE l.cmms_id = c.id)
"""
# An unlinked row whose key an unlinked record has is looked at as that record.
_ONLY_DYNAMICS: Final = """
SELECT 'row', d.id FROM dynamics d WHERE d.odd AND NOT EXISTS (SELECT 1 FROM ledger l WHERE l.row_id = d.id)
    AND NOT EXISTS (
        SELECT 1 FROM cmms c
        WHERE c.odd AND c.key = d.key AND NOT EXISTS (SELECT 1 FROM ledger l WHERE l.cmms_id = c.id))
"""
_DOUBLED: Final = """
SELECT key, count(*) FROM (SELECT id, key FROM cmms UNION SELECT id, key FROM agreeing WHERE id IS NOT NULL)
GROUP BY key HAVING count(*) > 1
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
        if not links:
            return
        cmms_ids, row_ids, _, cmms, dynamics, deleted = self._keep("ledger", links)
        for ids, hashes in ((cmms_ids, cmms), (row_ids, dynamics)):
            # The link of a deleted record expects nothing that would cancel out: no side gives None.
            expected = [None if gone else text for gone, text in zip(deleted, hashes, strict=True)]
            self._count(ids, map(neg, map(hash, zip(ids, expected, strict=True))))
        self.ledger_rows += len(links)

    def add_dynamics(self, rows: Sequence[DynamicsRow]) -> None:
        """Add Dynamics rows: id, key, hash, inactive."""
        if rows:
            ids, _, hashes, _ = self._keep("dynamics", rows)
            self._count(ids, map(hash, zip(ids, hashes, strict=True)))
            self.dynamics_rows += len(rows)

    def add_cmms(self, rows: Sequence[CmmsRow]) -> None:
        """Add CMMS records: id, key, hash."""
        if rows:
            ids, _, hashes = self._keep("cmms", rows)
            self._count(ids, map(hash, zip(ids, hashes, strict=True)))
            self.cmms_rows += len(rows)

    def _keep(self, source: Source, rows: Sequence[tuple[Any, ...]]) -> Columns:
        columns = tuple(zip(*rows, strict=True))
        self._db.execute("INSERT INTO page VALUES (?, ?)", (source, marshal.dumps(columns, _PLAIN)))
        return columns

    def _count(self, ids: Column, values: Iterable[int]) -> None:
        sums = self._sums
        for number, value in zip(map(hash, ids), values, strict=True):
            sums[number & _BUCKET] += value

    def join(self) -> None:
        """Say that everything was added: join what does not cancel out."""
        odd = Names(map(bool, self._sums))
        named = self._join_links(odd)
        for source in _SIDES:
            self._join_side(source, odd, named)
        self._join_agreeing(odd)
        for statement in _INDEXES:
            self._db.execute(statement)

    def _join_links(self, odd: "Names") -> "Names":
        """Join the links of which one side differs, and give the ids that they name: both sides are compared."""
        named = Names(_ROOM)
        for cmms_ids, row_ids, *columns in self._pages("ledger"):
            differs = list(map(or_, odd.has(cmms_ids), odd.has(row_ids)))
            self._db.executemany(_LINK, compress(zip(cmms_ids, row_ids, *columns, strict=True), differs))
            named.add(compress(cmms_ids, differs))
            named.add(compress(row_ids, differs))
        return named

    def _join_side(self, source: Side, odd: "Names", named: "Names") -> None:
        for ids, *columns in self._pages(source):
            differs = odd.has(ids)
            rows = zip(ids, *columns, differs, strict=True)
            self._db.executemany(_ROW[source], map(_storable, compress(rows, map(or_, differs, named.has(ids)))))

    def _join_agreeing(self, odd: "Names") -> None:
        """Join the other links whose record has the key of a record that was joined."""
        keys = Names(_ROOM)
        keys.add(key for (key,) in self._db.execute("SELECT key FROM cmms"))
        for cmms_ids, row_ids, names, _, _, deleted in self._pages("ledger"):
            alike = compress(zip(cmms_ids, row_ids, names, deleted, strict=True), keys.has(names))
            records = [(ids[0], key) for *ids, key, gone in alike if not (gone or any(odd.has(ids)))]
            self._db.executemany("INSERT INTO agreeing VALUES (?, ?)", records)

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

    def _pages(self, source: Source) -> Iterator[Columns]:
        # One page in memory at a time: all of a source's would take as much as the file.
        numbers = self._db.execute("SELECT rowid FROM page WHERE source = ? ORDER BY rowid", (source,)).fetchall()
        for number in numbers:
            (page,) = self._db.execute("SELECT columns FROM page WHERE rowid = ?", number).fetchone()
            yield marshal.loads(page)  # noqa: S302  # written above, in a file of this process alone


class Names(bytearray):
    """A set of names that takes little memory for any number of them, and may hold some that were not added."""

    def add(self, names: Iterable[str | None]) -> None:
        """Add names."""
        places = len(self) - 1
        for name in names:
            self[hash(name) & places] = True

    def has(self, names: Iterable[str | None]) -> list[int]:
        """For each name, 1 or 0: whether the set holds it."""
        places = len(self) - 1
        return [self[hash(name) & places] for name in names]


def _storable(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row that SQLite takes: a key with half a surrogate pair is as unusable as none."""
    key = row[1]
    try:
        key.encode()
    except UnicodeEncodeError:
        return (row[0], "", *row[2:])
    return row
