"""The rows of one table: storage by id, the alternate keys' uniqueness, and which texts count as the same."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from unicodedata import combining, normalize
from uuid import UUID

from local.emulators.dataverse.errors import Refusal
from local.emulators.dataverse.schema import AlternateKey, KeyStatus, Table
from local.emulators.dataverse.values import Value


class Collation(StrEnum):
    """Which texts the database takes for the same; blanks at the end never count, unless everything does."""

    EXACT = "exact"
    CASE_BLIND = "case_blind"
    ACCENT_BLIND = "accent_blind"

    def whole(self, text: str) -> str:
        """Fold a text so that equal folds are equal texts."""
        return text if self is Collation.EXACT else self.part(text.rstrip(" "))

    def part(self, text: str) -> str:
        """Fold a part of a text, where blanks at the end count."""
        if self is Collation.EXACT:
            return text
        if self is Collation.ACCENT_BLIND and not text.isascii():
            text = "".join(letter for letter in normalize("NFKD", text) if not combining(letter))
        return text.casefold()


type KeyParts = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One version of a row. Rows are never changed, only replaced, so a reference is a snapshot."""

    id: UUID
    version: int
    values: Mapping[str, Value]

    @property
    def etag(self) -> str:
        """The weak entity tag: the version number."""
        return f'W/"{self.version}"'


class TableRows:
    """All rows of a table, in the order of their ids; `collation` says which texts count as the same."""

    def __init__(self, table: Table, collation: Collation) -> None:
        self.table = table
        self.collation = collation
        self._rows: dict[UUID, Row] = {}
        self._order: list[UUID] = []
        self._keys: dict[str, dict[KeyParts, UUID]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return (self._rows[row_id] for row_id in self._order)

    def after(self, row_id: UUID) -> Iterator[Row]:
        """Iterate over the rows behind `row_id` in id order; that row need not exist any more."""
        start = bisect_left(self._order, row_id)
        return (self._rows[one] for one in self._order[start:] if one != row_id)

    def get(self, row_id: UUID) -> Row | None:
        """Find a row by its id."""
        return self._rows.get(row_id)

    def find(self, key: AlternateKey, parts: KeyParts) -> Row | None:
        """Find a row by an active alternate key; parts in the key's column order."""
        row_id = self._index(key).get(tuple(self._folded(part) for part in parts))
        return None if row_id is None else self._rows[row_id]

    def put(self, row: Row) -> None:
        """Insert or replace a row.

        Raises:
            DataverseError: KEY_VIOLATED, and nothing has changed.

        """
        before = self._rows.get(row.id)
        for key in self.table.active_keys():
            parts = self._parts(key, row)
            holder = self._index(key).get(parts) if parts else None
            if holder is not None and holder != row.id:
                raise Refusal.KEY_VIOLATED(key=key.label or key.name, columns=", ".join(key.columns))
        self._unindex(before)
        if before is None:
            insort(self._order, row.id)
        self._rows[row.id] = row
        for key in self.table.active_keys():
            if parts := self._parts(key, row):
                self._index(key)[parts] = row.id

    def remove(self, row_id: UUID) -> None:
        """Delete a row that exists."""
        row = self._rows.pop(row_id)
        del self._order[bisect_left(self._order, row_id)]
        self._unindex(row)

    def restore(self, row_id: UUID, row: Row | None) -> None:
        """Bring a row back to an earlier version, or out of existence: the undo of a transaction."""
        if row is not None:
            self.put(row)
        elif row_id in self._rows:
            self.remove(row_id)

    def become(self, rows: Iterable[Row]) -> None:
        """Hold these rows and no others: the restore of a backup."""
        self._rows = {row.id: row for row in rows}
        self._order = sorted(self._rows)
        self._keys.clear()

    def activate(self, key: AlternateKey) -> None:
        """Build a key's index: it becomes Active, or Failed when existing rows collide."""
        key.status = KeyStatus.IN_PROGRESS
        self._keys.pop(key.name, None)
        seen: set[KeyParts] = set()
        for row in self:
            parts = self._parts(key, row)
            if parts and parts in seen:
                key.status = KeyStatus.FAILED
                return
            seen.add(parts)
        key.status = KeyStatus.ACTIVE

    def _index(self, key: AlternateKey) -> dict[KeyParts, UUID]:
        index = self._keys.get(key.name)
        if index is None:
            index = {}
            for row in self:
                if parts := self._parts(key, row):
                    index.setdefault(parts, row.id)
            self._keys[key.name] = index
        return index

    def _unindex(self, row: Row | None) -> None:
        if row is None:
            return
        for key in self.table.active_keys():
            index = self._keys.get(key.name, {})
            parts = self._parts(key, row)
            if parts and index.get(parts) == row.id:
                del index[parts]

    def _parts(self, key: AlternateKey, row: Row) -> KeyParts:
        parts = tuple(self._folded(row.values.get(column)) for column in key.columns)
        return () if None in parts else parts

    def _folded(self, value: Value) -> Value:
        return self.collation.whole(value) if isinstance(value, str) else value


def frozen(values: Mapping[str, Value]) -> Mapping[str, Value]:
    """Make the values of a row unchangeable."""
    return MappingProxyType(dict(values))
