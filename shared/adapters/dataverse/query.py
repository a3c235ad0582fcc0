"""OData filters for many keys at once, in chunks whose address the service accepts."""

import re
from collections.abc import Iterator, Sequence
from typing import Final
from unicodedata import combining, normalize
from urllib.parse import quote

# The service takes 32 KB of address; the rest leaves room for the host, the path and $select.
FILTER_BYTES: Final = 24_000
CHUNK: Final = 512
"""A lane's 500 ids and what is read along with them fit into one request."""
_SINGLY: Final = 50
"""How many values of a chunk may need a condition of their own: the service takes 500 conditions in all."""
_NOT_FOR_LISTS: Final = re.compile(r"""['"\\[\]{}]""")


def literal(text: str) -> str:
    """An OData string literal: apostrophes are doubled, percent-encoding is the transport's."""
    return "'" + text.replace("'", "''") + "'"


def definition(table: str) -> str:
    """The address of a table's definition. The name comes from the mapping: it must not become another path."""
    return f"EntityDefinitions(LogicalName='{quote(table.replace(chr(39), chr(39) * 2), safe='')}')"


def fold(key: str) -> str:
    """What Dynamics may take for the same: its usual collation ignores case, accents and spaces at the end."""
    if not key.isascii():
        key = "".join(char for char in normalize("NFKD", key) if not combining(char))
    return key.casefold().rstrip()


def in_filters(
    column: str, values: Sequence[str], *, guids: bool = False, budget: int = FILTER_BYTES
) -> Iterator[tuple[list[str], str]]:
    """Split values into chunks and give each with its `$filter`.

    `In` takes its values as strings of JSON, for once in single quotes, where an apostrophe cannot be written, and a
    backslash is an escape. Values with such characters get a condition of their own. See
    https://learn.microsoft.com/power-apps/developer/data-platform/webapi/query/filter-rows#manage-single-quotes.
    """
    chunk: list[str] = []
    size = singly = 0
    for value in values:
        # Everything that an address may have to encode is counted as encoded: the service counts the address.
        alone = _NOT_FOR_LISTS.search(value) is not None
        cost = len(quote(f" or {column} eq {literal(value)}" if alone else f"{literal(value)},", safe=""))
        if chunk and (size + cost > budget or len(chunk) >= CHUNK or singly + alone > _SINGLY):
            yield chunk, _any_of(column, chunk, guids=guids)
            chunk, size, singly = [], 0, 0
        chunk.append(value)
        size += cost
        singly += alone
    if chunk:
        yield chunk, _any_of(column, chunk, guids=guids)


def _any_of(column: str, values: Sequence[str], *, guids: bool) -> str:
    listed = [value for value in values if not _NOT_FOR_LISTS.search(value)]
    alone = [value for value in values if _NOT_FOR_LISTS.search(value)]
    if len(listed) == 1:
        alone, listed = [*listed, *alone], []
    conditions = [_in(column, listed)] if listed else []
    # A GUID is no string in OData; within In every value is written as one.
    conditions.extend(f"{column} eq {value if guids else literal(value)}" for value in alone)
    return " or ".join(conditions)


def _in(column: str, values: Sequence[str]) -> str:
    return f"Microsoft.Dynamics.CRM.In(PropertyName='{column}',PropertyValues=[{','.join(map(literal, values))}])"
