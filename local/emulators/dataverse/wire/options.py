"""Query options: `$select`, `$filter`, `$orderby`, `$top`, `$count`, `$skiptoken`, `tag`, `@aliases`."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from local.emulators.dataverse import jsontext
from local.emulators.dataverse.errors import Refusal
from local.emulators.dataverse.schema import Column, Table

_KNOWN = {"$select", "$filter", "$orderby", "$top", "$count", "$skiptoken"}
_OTHER_QUERIES = {"fetchxml", "savedquery", "userquery", "sql"}
_ORDER_ITEM = re.compile(r"\s*(?P<name>\w+)(?:\s+(?P<direction>asc|desc))?\s*")
_PAGE_LIMIT = 5000


@dataclass(frozen=True, slots=True)
class SkipToken:
    """Where the next page begins: behind the row with these order values and this id."""

    page: int
    values: tuple[Any, ...]
    row_id: str

    def encode(self) -> str:
        """Write the token: opaque to clients."""
        text = jsontext.dumps([self.page, list(self.values), self.row_id], numbers_as_text=True)
        return base64.urlsafe_b64encode(text.encode()).decode()

    @classmethod
    def decode(cls, text: str) -> "SkipToken":
        """Read a token; DataverseError SYNTAX if it is not one of ours."""
        try:
            page, values, row_id = jsontext.loads(base64.urlsafe_b64decode(text.encode()))
            return cls(int(page), tuple(values), str(row_id))
        except (binascii.Error, ValueError, TypeError):
            raise Refusal.SYNTAX(detail="The $skiptoken is not one that this service gave.") from None


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """Parsed options; `select` None means every column; `order` holds (column, descending)."""

    select: tuple[Column, ...] | None = None
    filter: str | None = None
    order: tuple[tuple[Column, bool], ...] = ()
    top: int | None = None
    count: bool = False
    skip_token: SkipToken | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, query: str, table: Table) -> "QueryOptions":
        """Parse a raw query string; DataverseError SYNTAX, NOT_SUPPORTED or UNKNOWN_COLUMN_IN_QUERY."""
        try:
            given = dict(parse_qsl(query, keep_blank_values=True, errors="strict"))
        except UnicodeDecodeError:
            raise Refusal.SYNTAX(detail="The query options are not UTF-8.") from None
        for name in given:
            if (name.startswith("$") and name not in _KNOWN) or name.lower() in _OTHER_QUERIES:
                raise Refusal.NOT_SUPPORTED(what=f"The query option {name}")
        select = given.get("$select")
        token = given.get("$skiptoken")
        return cls(
            select=None if select is None or select.strip() == "*" else _select(select, table),
            filter=given.get("$filter"),
            order=_order(given.get("$orderby", table.primary_id), table),
            top=_top(given["$top"]) if "$top" in given else None,
            count=given.get("$count", "").lower() == "true",
            skip_token=None if token is None else SkipToken.decode(token),
            aliases={name: value for name, value in given.items() if name.startswith("@")},
        )


def _select(text: str, table: Table) -> tuple[Column, ...]:
    return tuple(_column(name.strip(), table) for name in text.split(",") if name.strip())


def _order(text: str, table: Table) -> tuple[tuple[Column, bool], ...]:
    order = []
    for item in text.split(","):
        match = _ORDER_ITEM.fullmatch(item)
        if match is None:
            raise Refusal.SYNTAX(detail=f"The $orderby item '{item.strip()}' must look like 'column' or 'column desc'.")
        order.append((_column(match["name"], table), match["direction"] == "desc"))
    # Rows lie in the order of their ids anyway: asking for it costs no sorting.
    return () if order == [(table.columns[table.primary_id], False)] else tuple(order)


def _top(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or int(text) == 0:
        raise Refusal.SYNTAX(detail="The $top option must be a number above 0.")
    return min(int(text), _PAGE_LIMIT)


def _column(name: str, table: Table) -> Column:
    column = table.by_wire_name(name)
    if column is None:
        raise Refusal.UNKNOWN_COLUMN_IN_QUERY(column=name, table=table.name)
    return column
