"""Reading a set: filter, order, pages.

Pages are cut by position in the order, not by count: a row inserted between two pages neither hides nor
doubles another.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any
from urllib.parse import quote, unquote
from uuid import UUID

from local.emulators.dataverse.errors import Refusal
from local.emulators.dataverse.filters import compile_filter
from local.emulators.dataverse.organization import Dataverse
from local.emulators.dataverse.rows import Row, TableRows
from local.emulators.dataverse.schema import Column
from local.emulators.dataverse.staleness import as_of, moment_of
from local.emulators.dataverse.values import parse_text, to_json, to_stored
from local.emulators.dataverse.wire.messages import ODataRequest, ODataResponse
from local.emulators.dataverse.wire.options import QueryOptions, SkipToken
from local.emulators.dataverse.wire.render import RowRenderer, context_url
from local.emulators.dataverse.wire.tracking import is_tracking, list_changes

_PAGE_LIMIT = 5000


def list_rows(dataverse: Dataverse, request: ODataRequest, rows: TableRows) -> ODataResponse:
    """Answer `GET set`."""
    dataverse.may_read(rows, request.caller)
    if is_tracking(request):
        return list_changes(dataverse, request, rows, _page_size(request, QueryOptions()))
    options = QueryOptions.parse(request.query, rows.table)
    size = _page_size(request, options)
    hidden = rows.table.hidden_from(request.caller.user.application_id)
    stored = _stored(dataverse, options, rows)
    matching = _matching(options, rows, stored, hidden)
    found = list(islice(_behind(options, rows, _ordered(options, rows, matching)), size + 1))
    page, more = found[:size], len(found) > size and options.top is None
    renderer = RowRenderer(dataverse, rows.table, options.select, request)
    payload: dict[str, Any] = {"@odata.context": context_url(request, rows.table, options.select, single=False)}
    if options.count:
        payload["@odata.count"] = min(sum(1 for _ in _matching(options, rows, rows, hidden)), _PAGE_LIMIT)
    payload["value"] = [renderer.render(row) for row in page]
    if more:
        payload["@odata.nextLink"] = _next_link(request, rows, options, page[-1])
    headers = {}
    if "odata.maxpagesize" in request.preferences:
        headers["Preference-Applied"] = f"odata.maxpagesize={size}"
    response = ODataResponse.json(payload, headers=headers, numbers_as_text=request.numbers_as_text)
    response.rows_read = len(page)
    return response


def count_rows(dataverse: Dataverse, request: ODataRequest, rows: TableRows) -> ODataResponse:
    """Answer `GET set/$count`: plain text."""
    dataverse.may_read(rows, request.caller)
    options = QueryOptions.parse(request.query, rows.table)
    hidden = rows.table.hidden_from(request.caller.user.application_id)
    count = min(sum(1 for _ in _matching(options, rows, rows, hidden)), _PAGE_LIMIT)
    return ODataResponse(200, {"Content-Type": "text/plain", "OData-Version": "4.0"}, str(count).encode())


def _stored(dataverse: Dataverse, options: QueryOptions, rows: TableRows) -> Iterable[Row]:
    """Give the rows to search: from the page's place on, and as they were where the read lags."""
    last = None
    if options.skip_token and not options.order:
        last = parse_text(rows.table.columns[rows.table.primary_id].type, options.skip_token.row_id)
    stale = dataverse.stale_reads
    if stale is not None and stale.strikes():
        then = as_of(tuple(rows), dataverse.log, rows.table.name, moment_of(dataverse.clock(), stale))
        return (row for row in then if not isinstance(last, UUID) or row.id > last)
    # In id order the place of a page is found by bisection, so that reading a whole table stays linear.
    return rows.after(last) if isinstance(last, UUID) else rows


def _matching(options: QueryOptions, rows: TableRows, start: Iterable[Row], hidden: frozenset[str]) -> Iterator[Row]:
    """Find the rows; a condition on a column that the caller may not read meets null (unverified)."""
    if options.filter is None:
        return iter(start)
    matches = compile_filter(options.filter, rows, options.aliases)
    nothing = dict.fromkeys(hidden)
    return (row for row in start if matches(row.values if not hidden else {**row.values, **nothing}))


def _ordered(options: QueryOptions, rows: TableRows, found: Iterator[Row]) -> Iterator[Row]:
    if not options.order:
        return found
    ordered = list(found)
    for column, descending in reversed(options.order):
        ordered.sort(key=lambda row, name=column.name: _rank(rows, row.values[name]), reverse=descending)  # type: ignore[misc]
    return iter(ordered)


def _behind(options: QueryOptions, rows: TableRows, found: Iterator[Row]) -> Iterator[Row]:
    """Drop the rows up to the skip token's place."""
    token = options.skip_token
    if token is None or not options.order:
        return found
    if len(token.values) != len(options.order):
        raise Refusal.SYNTAX(detail="The $skiptoken does not belong to this $orderby.")
    marks = [
        _rank(rows, _token_value(rows, column, value))
        for (column, _), value in zip(options.order, token.values, strict=True)
    ]

    def is_behind(row: Row) -> bool:
        for (column, descending), mark in zip(options.order, marks, strict=True):
            rank = _rank(rows, row.values[column.name])
            if rank != mark:
                return bool(rank < mark if descending else rank > mark)
        return str(row.id) > token.row_id

    return (row for row in found if is_behind(row))


def _rank(rows: TableRows, value: Any) -> tuple[bool, Any]:
    """Make a sort key; empty values come first, as in the service's database."""
    if value is None:
        return (False, 0)
    return (True, rows.collation.whole(value) if isinstance(value, str) else value)


def _token_value(rows: TableRows, column: Column, value: Any) -> Any:
    return to_stored(rows.table, column, value, numbers_as_text=True)


def _page_size(request: ODataRequest, options: QueryOptions) -> int:
    if options.top is not None:
        return options.top
    asked = request.preferences.get("odata.maxpagesize", "")
    if not asked:
        return _PAGE_LIMIT
    if not asked.isascii() or not asked.isdigit() or int(asked) == 0:
        raise Refusal.SYNTAX(detail="The preference odata.maxpagesize must be a number above 0.")
    return min(int(asked), _PAGE_LIMIT)


def _next_link(request: ODataRequest, rows: TableRows, options: QueryOptions, last: Row) -> str:
    page = options.skip_token.page + 1 if options.skip_token else 2
    token = SkipToken(page, tuple(to_json(last.values[column.name]) for column, _ in options.order), str(last.id))
    kept = [part for part in request.query.split("&") if part and unquote(part.partition("=")[0]) != "$skiptoken"]
    return f"{request.root}/{rows.table.set_name}?{'&'.join([*kept, f'$skiptoken={quote(token.encode())}'])}"
