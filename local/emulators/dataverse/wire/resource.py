r"""Resource paths: `set`, `set(guid)`, `set(key='value')`, and what follows.

Key values with `/ < > * % & : \ ? + #` do not work in a path, not even percent-encoded; see
https://learn.microsoft.com/power-apps/developer/data-platform/define-alternate-keys-entity
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, unquote_to_bytes
from uuid import UUID

from local.emulators.dataverse.errors import Refusal
from local.emulators.dataverse.rows import Row, TableRows
from local.emulators.dataverse.schema import AlternateKey, ColumnType
from local.emulators.dataverse.values import Value, parse_text, to_stored

_SEGMENT = re.compile(r"(?P<set>[$\w.]*)(?:\((?P<key>(?:'[^']*'|[^'()])*)\))?(?P<tail>(?:/[^/]*)*)", re.DOTALL)
_PART = re.compile(r"\s*(?:(?P<name>\w+)=)?(?P<value>'(?:[^']|'')*'|[^,']+)\s*(?:,|$)")
_UNUSABLE = re.compile(r"[/<>*%&:\\?+#]")


@dataclass(frozen=True, slots=True)
class Resource:
    """A parsed path: set, key parts (name to literal; an id has the empty name), further segments."""

    set_name: str
    key: Mapping[str, str] | None
    tail: tuple[str, ...]
    text: str


def parse_path(path: str) -> Resource:
    """Parse a percent-encoded path; DataverseError SYNTAX names what is wrong."""
    try:
        text = unquote_to_bytes(path).decode("utf-8").strip("/")
    except UnicodeDecodeError:
        raise Refusal.SYNTAX(detail="The path is not UTF-8.") from None
    match = _SEGMENT.fullmatch(text)
    if match is None:
        raise Refusal.SYNTAX(detail=f"The path '{unquote(path)[:200]}' is not a resource path.")
    key = match["key"]
    tail = tuple(part for part in match["tail"].split("/") if part)
    return Resource(match["set"], None if key is None else _parse_key(key), tail, path.strip("/"))


@dataclass(frozen=True, slots=True)
class RowAddress:
    """Which row a path means: one by id, or one by an alternate key whose parts may still find nothing."""

    row_id: UUID | None
    key: AlternateKey | None = None
    parts: tuple[Value, ...] = ()

    def find(self, rows: TableRows) -> Row | None:
        """Look the row up."""
        if self.key is not None:
            return rows.find(self.key, self.parts)
        return rows.get(self.row_id) if self.row_id is not None else None

    def require(self, rows: TableRows) -> Row:
        """Look the row up; DataverseError NOT_FOUND or KEY_NOT_FOUND."""
        row = self.find(rows)
        if row is None:
            raise self.missing(rows)
        return row

    def missing(self, rows: TableRows) -> Exception:
        """Make the error of a row that does not exist."""
        if self.key is not None:
            return Refusal.KEY_NOT_FOUND(table=rows.table.name)
        return Refusal.NOT_FOUND(table=rows.table.name, id=self.row_id)

    @property
    def key_values(self) -> dict[str, Value]:
        """The key columns with their values."""
        return dict(zip(self.key.columns, self.parts, strict=True)) if self.key else {}


def address(resource: Resource, rows: TableRows) -> RowAddress:
    """Resolve the key of a path against the table.

    Raises:
        DataverseError: SYNTAX for a malformed or unusable value, KEY_NOT_DEFINED for columns that are no
        active key.

    """
    table, given = rows.table, resource.key or {}
    if set(given) in ({""}, {table.primary_id}):
        row_id = parse_text(ColumnType.UNIQUEIDENTIFIER, next(iter(given.values())))
        if not isinstance(row_id, UUID):
            raise Refusal.SYNTAX(detail="The id in the path is not a GUID.")
        return RowAddress(row_id)
    for key in table.active_keys():
        if {table.columns[name].wire_name for name in key.columns} == set(given):
            parts = []
            for name in key.columns:
                column = table.columns[name]
                parts.append(_key_value(given[column.wire_name], rows, name))
            return RowAddress(None, key, tuple(parts))
    raise Refusal.KEY_NOT_DEFINED(table=table.name, columns=", ".join(given))


def _parse_key(text: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None:
            raise Refusal.SYNTAX(detail="The key in the path must look like (guid) or (column='value').")
        parts[match["name"] or ""] = match["value"]
        position = match.end()
    if "" in parts and len(parts) > 1:
        raise Refusal.SYNTAX(detail="The key in the path must look like (guid) or (column='value').")
    return parts


def _key_value(literal: str, rows: TableRows, name: str) -> Value:
    column = rows.table.columns[name]
    quoted = literal.startswith("'")
    text = literal[1:-1].replace("''", "'") if quoted else literal.strip()
    if quoted and _UNUSABLE.search(text):
        raise Refusal.SYNTAX(detail=f"The value of '{name}' holds a character that a key in a path cannot carry.")
    if quoted != (column.type in {ColumnType.STRING, ColumnType.MEMO}):
        raise Refusal.SYNTAX(detail=f"The value of '{name}' in the path does not have the type {column.type}.")
    if quoted or column.type in {
        ColumnType.DATE,
        ColumnType.DATETIME,
        ColumnType.LOOKUP,
        ColumnType.UNIQUEIDENTIFIER,
    }:
        return to_stored(rows.table, column, text)
    number = re.fullmatch(r"-?\d+(\.\d+)?", text, re.ASCII)
    if number is None:
        raise Refusal.SYNTAX(detail=f"The value of '{name}' in the path is not a number.")
    if number[1] or column.type in {ColumnType.DECIMAL, ColumnType.MONEY}:
        return to_stored(rows.table, column, text, numbers_as_text=True)
    return to_stored(rows.table, column, int(text))
