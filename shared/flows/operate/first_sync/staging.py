"""Both sides and the ledger's identities in a temporary SQLite file, sorted out by business key."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

from shared.domain.link import Identity, IdentityKind, LinkHash
from shared.domain.model import CmmsRecord, DynamicsRecord, Side
from shared.flows.operate.first_sync.classify import Kind
from shared.flows.operate.first_sync.keys import alike
from shared.flows.operate.first_sync.records import packed_record, packed_row, record_of, row_of
from shared.flows.scratch import Scratch

type Note = Literal["linked", "closer", "unusable", "doubled", "near"]
"""Why a record is not simply one of a pair or alone: see `_RULES`."""

_SCHEMA: Final = """
CREATE TABLE cmms (id TEXT PRIMARY KEY, key TEXT, alike TEXT, note TEXT, changed INTEGER, body BLOB) WITHOUT ROWID;
CREATE TABLE dynamics (id TEXT PRIMARY KEY, key TEXT, alike TEXT, note TEXT, changed INTEGER, body BLOB) WITHOUT ROWID;
CREATE TABLE link (cmms_id TEXT, row_id TEXT, whole INTEGER);
CREATE TABLE todo (number INTEGER PRIMARY KEY, kind TEXT, value TEXT, key TEXT, UNIQUE (kind, value));
"""
_INDEXES: Final = """
CREATE INDEX cmms_by_key ON cmms (key, note);
CREATE INDEX dynamics_by_key ON dynamics (key, note);
CREATE INDEX cmms_alike ON cmms (alike);
CREATE INDEX dynamics_alike ON dynamics (alike);
CREATE INDEX link_by_cmms ON link (cmms_id, whole);
CREATE INDEX link_by_row ON link (row_id, whole);
"""
_DOUBLED: Final = "SELECT key FROM {} WHERE note IS NOT 'unusable' GROUP BY key HAVING count(*) > 1"
# In this order, and each only where no earlier rule spoke. {this} is a side, {that} the other one; {link} is the
# link's column for the side's ids.
_RULES: Final[tuple[tuple[Note, str], ...]] = (
    ("linked", "id IN (SELECT {link} FROM link WHERE whole)"),
    # Known by one side alone: the link itself has a say.
    ("closer", "id IN (SELECT {link} FROM link WHERE NOT whole)"),
    (
        "doubled",
        f"key IN ({_DOUBLED.format('{this}')}) OR key IN ({_DOUBLED.format('{that}')})",
    ),
    # The key is that of a linked one: another record's row, perhaps of a deleted record.
    ("closer", "key IN (SELECT key FROM {that} WHERE note IN ('linked', 'closer'))"),
)
_NEAR: Final = """
CREATE TABLE near AS SELECT alike FROM (
    SELECT key, alike FROM cmms WHERE note IS NOT 'unusable'
    UNION SELECT key, alike FROM dynamics WHERE note IS NOT 'unusable') GROUP BY alike HAVING count(*) > 1;
UPDATE cmms SET note = 'near' WHERE note IS NULL AND alike IN (SELECT alike FROM near)
    AND NOT EXISTS (SELECT 1 FROM dynamics d WHERE d.key = cmms.key AND d.note IS NULL);
UPDATE dynamics SET note = 'near' WHERE note IS NULL AND alike IN (SELECT alike FROM near)
    AND NOT EXISTS (SELECT 1 FROM cmms c WHERE c.key = dynamics.key AND c.note IS NULL);
"""
# An unlinked row whose key such a record has is looked at as that record.
_CLOSER: Final = """
SELECT 'cmms', id FROM cmms WHERE note = 'closer'
UNION ALL SELECT 'row', id FROM dynamics d WHERE note = 'closer' AND (
    EXISTS (SELECT 1 FROM link WHERE row_id = d.id)
    OR NOT EXISTS (SELECT 1 FROM cmms c WHERE c.key = d.key AND c.note = 'closer'))
"""
_NOTED_QUERY: Final = """
SELECT note, key, id, CASE note WHEN 'near' THEN (SELECT min(key) FROM (
    SELECT key FROM cmms c WHERE c.alike = t.alike AND c.key != t.key
    UNION ALL SELECT key FROM dynamics d WHERE d.alike = t.alike AND d.key != t.key)) END
FROM {side} t WHERE note IN ('unusable', 'doubled', 'near') ORDER BY alike, key
"""
_NOTED: Final[dict[Note, Kind]] = {
    "unusable": Kind.KEY_UNUSABLE,
    "doubled": Kind.KEY_DOUBLED,
    "near": Kind.KEY_NEARLY_EQUAL,
}


class Staging(Scratch):
    """One entity's records."""

    def __init__(self) -> None:
        super().__init__(_SCHEMA, "The temporary file of the comparison", "about 1 KB")

    def add_links(self, links: Sequence[LinkHash]) -> None:
        """Add what the ledger knows. A link is whole where both sides have met, or where the record was deleted."""
        rows = ((one.cmms_id, one.row_id, one.deleted or _met(one)) for one in links)
        self._db.executemany("INSERT INTO link VALUES (?, ?, ?)", rows)

    def add_records(self, records: Iterable[tuple[CmmsRecord, bool, bool]]) -> None:
        """Add CMMS records, each with whether its key is usable and whether it changed since the plan."""
        self._add("cmms", ((one.id, one.key, usable, changed, packed_record(one)) for one, usable, changed in records))

    def add_rows(self, rows: Iterable[tuple[DynamicsRecord, bool, bool]]) -> None:
        """Add Dynamics rows, likewise."""
        self._add("dynamics", ((one.id, one.key, usable, changed, packed_row(one)) for one, usable, changed in rows))

    def add_unreadable(self, record_id: str, key: str) -> None:
        """Add a CMMS record that is not of the API's form: a closer look tells what is wrong with it."""
        row = (record_id, _storable(key), alike(key), "closer", False, None)
        self._db.execute("INSERT OR REPLACE INTO cmms VALUES (?, ?, ?, ?, ?, ?)", row)

    def _add(self, side: Side, rows: Iterable[tuple[str, str, bool, bool, bytes]]) -> None:
        self._db.executemany(
            f"INSERT OR REPLACE INTO {side} VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608  # one of two names
            (
                (name, _storable(key), alike(key) if usable else "", None if usable else "unusable", changed, body)
                for name, key, usable, changed, body in rows
            ),
        )

    def sort_out(self) -> None:
        """Say that everything was added: find pairs, and what is in the way of being one."""
        self._db.executescript(_INDEXES)
        sides: tuple[tuple[Side, Side, str], ...] = (("cmms", "dynamics", "cmms_id"), ("dynamics", "cmms", "row_id"))
        for note, condition in _RULES:
            for this, that, link in sides:
                where = condition.format(this=this, that=that, link=link)
                self._db.execute(f"UPDATE {this} SET note = ? WHERE note IS NULL AND ({where})", (note,))  # noqa: S608  # as above
        self._db.executescript(_NEAR)
        self._db.execute("BEGIN")

    def pairs(self) -> Iterator[tuple[CmmsRecord, DynamicsRecord]]:
        """The records and rows that have one key byte for byte, and no link."""
        query = (
            "SELECT c.body, d.body FROM cmms c JOIN dynamics d ON d.key = c.key AND d.note IS NULL WHERE c.note IS NULL"
        )
        return ((record_of(record), row_of(row)) for record, row in self._db.execute(query))

    def only_records(self) -> Iterator[CmmsRecord]:
        """The records whose key no row has."""
        return map(record_of, self._only("cmms", "dynamics"))

    def only_rows(self) -> Iterator[DynamicsRecord]:
        """The rows whose key no record has."""
        return map(row_of, self._only("dynamics", "cmms"))

    def _only(self, this: Side, that: Side) -> Iterator[bytes]:
        query = (
            f"SELECT body FROM {this} WHERE note IS NULL"  # noqa: S608  # one of two names
            f" AND NOT EXISTS (SELECT 1 FROM {that} o WHERE o.key = {this}.key AND o.note IS NULL)"
        )
        return (body for (body,) in self._db.execute(query))

    def closer(self) -> list[Identity]:
        """The records and rows that only a snapshot with their links can judge."""
        return [Identity(kind, name) for kind, name in self._db.execute(_CLOSER)]

    def noted(self) -> Iterator[tuple[Kind, Side, str, str, str]]:
        """What a person has to correct: how, on which side, key, id, and what the key is nearly equal to."""
        sides: tuple[Side, ...] = ("cmms", "dynamics")
        for side in sides:
            found = self._db.execute(_NOTED_QUERY.format(side=side))
            for note, key, name, near in found:
                yield _NOTED[note], side, key, name, near or ""

    def count(self, side: Side, *, linked: bool = False, changed: bool = False) -> int:
        """How many records a side has; only linked ones, or only unlinked ones that changed since the plan."""
        where = "note IS 'linked'" if linked else "note IS NOT 'linked' AND changed" if changed else "1"
        (found,) = self._db.execute(f"SELECT count(*) FROM {side} WHERE {where}").fetchone()  # noqa: S608  # as above
        return int(found)

    def add_todo(self, identity: Identity, key: str) -> None:
        """Put a record on the list of those that the run hands to the engine."""
        self._db.execute("INSERT OR IGNORE INTO todo (kind, value, key) VALUES (?, ?, ?)", (*identity, _storable(key)))

    def todo(self, size: int) -> Iterator[dict[Identity, str]]:
        """The records on that list with their keys, `size` at a time."""
        after = 0
        query = "SELECT number, kind, value, key FROM todo WHERE number > ? ORDER BY number LIMIT ?"
        while found := self._db.execute(query, (after, size)).fetchall():
            after = found[-1][0]
            yield {_identity(kind, value): key for _, kind, value, key in found}


def _identity(kind: IdentityKind, value: str) -> Identity:
    return Identity(kind, value)


def _met(link: LinkHash) -> bool:
    return link.cmms_id is not None and link.row_id is not None and bool(link.cmms and link.dynamics)


def _storable(key: str) -> str:
    """A key that SQLite takes: one with half a surrogate pair is as unusable as none."""
    return key.encode("utf-8", "replace").decode()
