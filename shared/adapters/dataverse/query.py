"""OData filters for many keys at once, in chunks whose address the service accepts."""

from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import quote

# The service takes 32 KB of address; the rest leaves room for the host, the path and $select.
FILTER_BYTES: Final = 24_000
CHUNK: Final = 500


def literal(text: str) -> str:
    """An OData string literal: apostrophes are doubled, percent-encoding is the transport's."""
    return "'" + text.replace("'", "''") + "'"


def in_filters(
    column: str, values: Sequence[str], *, guids: bool = False, budget: int = FILTER_BYTES
) -> Iterator[tuple[list[str], str]]:
    """Split values into chunks and give each with its `$filter`.

    `In` takes its values as JSON-like strings in single quotes; see
    https://learn.microsoft.com/power-apps/developer/data-platform/webapi/reference/in.
    """
    chunk: list[str] = []
    size = 0
    for value in values:
        # Everything that an address may have to encode is counted as encoded: the service counts the address.
        cost = len(quote(literal(value) + ",", safe=""))
        if chunk and (size + cost > budget or len(chunk) >= CHUNK):
            yield chunk, _in(column, chunk, guids=guids)
            chunk, size = [], 0
        chunk.append(value)
        size += cost
    if chunk:
        yield chunk, _in(column, chunk, guids=guids)


def _in(column: str, values: Sequence[str], *, guids: bool) -> str:
    if len(values) == 1:
        # A GUID is no string in OData; within In every value is written as one.
        return f"{column} eq {values[0] if guids else literal(values[0])}"
    listed = ",".join(literal(value) for value in values)
    return f"Microsoft.Dynamics.CRM.In(PropertyName='{column}',PropertyValues=[{listed}])"
