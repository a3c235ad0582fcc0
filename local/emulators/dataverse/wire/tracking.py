"""Change tracking: a first read of a whole set that ends in a delta link, and what changed since one.

The form is that of
https://learn.microsoft.com/power-apps/developer/data-platform/use-change-tracking-synchronize-data-external-systems:
updated rows come first, then deleted ones, which name only their id. A token counts from the first page of the read
that gave it, so that a change made between two pages is never lost, and expires after a week.
"""

import base64
import binascii
import json
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl, quote, unquote
from uuid import UUID

from local.emulators.dataverse.errors import Refusal
from local.emulators.dataverse.organization import Dataverse
from local.emulators.dataverse.rows import Row, TableRows
from local.emulators.dataverse.wire.messages import ODataRequest, ODataResponse
from local.emulators.dataverse.wire.options import QueryOptions
from local.emulators.dataverse.wire.render import RowRenderer, context_url

RETENTION = timedelta(days=7)
PREFERENCE = "odata.track-changes"
_TIME = "%m/%d/%Y %H:%M:%S"
_REFUSED = ("$filter", "$orderby", "$expand", "$top")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a page begins. `since` None is a first read; `until` is the token that the read will end in."""

    since: int | None
    until: int
    deleted: bool = False
    last: str = ""

    def encode(self) -> str:
        return base64.urlsafe_b64encode(json.dumps([self.since, self.until, self.deleted, self.last]).encode()).decode()

    @classmethod
    def decode(cls, text: str) -> "_Place":
        try:
            since, until, deleted, last = json.loads(base64.urlsafe_b64decode(text.encode()))
            return cls(None if since is None else int(since), int(until), bool(deleted), str(UUID(last)))
        except (binascii.Error, ValueError, TypeError, AttributeError):
            raise Refusal.SYNTAX(detail="The $skiptoken is not one that this service gave.") from None


def is_tracking(request: ODataRequest) -> bool:
    """Whether a list asks for change tracking: by the preference, or by following a delta link."""
    names = {unquote(part.partition("=")[0]) for part in request.query.split("&")}
    return PREFERENCE in request.preferences or not names.isdisjoint({"$deltatoken", "deltatoken"})


def list_changes(dataverse: Dataverse, request: ODataRequest, rows: TableRows, size: int) -> ODataResponse:
    """Answer one page of a tracked read, with a next link or, at the end, the delta link."""
    given = dict(parse_qsl(request.query, keep_blank_values=True))
    if refused := next((name for name in _REFUSED if name in given), None):
        raise Refusal.TRACKING_OPTION(option=refused)
    if not rows.table.change_tracking:
        raise Refusal.TRACKING_OFF(table=rows.table.name)
    options = QueryOptions.parse(_without(request.query, "$deltatoken", "$skiptoken"), rows.table)
    if "$skiptoken" in given:
        place = _Place.decode(given["$skiptoken"])
    else:
        since = _since(given["$deltatoken"], rows.table.name, dataverse.clock()) if "$deltatoken" in given else None
        place = _Place(since, dataverse.log[-1].version if dataverse.log else 0)
    found = list(islice(_entries(dataverse, rows, place), size + 1))
    renderer = RowRenderer(dataverse, rows.table, options.select, request)
    payload: dict[str, Any] = {
        "@odata.context": context_url(request, rows.table, options.select, single=False) + "/$delta",
        "value": [_shown(request, rows, renderer, row_id, row) for row_id, row in found[:size]],
    }
    if len(found) > size:
        row_id, row = found[size - 1]
        behind = replace(place, deleted=row is None, last=str(row_id))
        payload["@odata.nextLink"] = _link(request, rows, "$skiptoken", behind.encode(), "$skiptoken")
    else:
        token = f"{place.until}!{dataverse.clock().strftime(_TIME)}"
        payload["@odata.deltaLink"] = _link(request, rows, "$deltatoken", token, "$deltatoken", "$skiptoken")
    headers = {"Preference-Applied": PREFERENCE} if PREFERENCE in request.preferences else {}
    response = ODataResponse.json(payload, headers=headers, numbers_as_text=request.numbers_as_text)
    response.rows_read = min(len(found), size)
    return response


def _entries(dataverse: Dataverse, rows: TableRows, place: _Place) -> Iterator[tuple[UUID, Row | None]]:
    if place.since is None:
        behind = rows.after(UUID(place.last)) if place.last else iter(rows)
        yield from ((row.id, row) for row in behind)
        return
    start = bisect_right(dataverse.log, place.since, key=lambda change: change.version)
    end = bisect_right(dataverse.log, place.until, key=lambda change: change.version)
    table = rows.table.name
    changed = sorted({change.row_id for change in dataverse.log[start:end] if change.table == table}, key=str)
    for deleted in (False, True):
        for row_id in changed:
            row = rows.get(row_id)
            if (row is None) == deleted and (deleted, str(row_id)) > (place.deleted, place.last):
                yield row_id, row


def _shown(request: ODataRequest, rows: TableRows, renderer: RowRenderer, row_id: UUID, row: Row | None) -> Any:
    if row is not None:
        return renderer.render(row)
    context = f"{request.root}/$metadata#{rows.table.set_name}/$deletedEntity"
    return {"@odata.context": context, "id": str(row_id), "reason": "deleted"}


def _since(token: str, table: str, now: datetime) -> int:
    version, _, at = token.partition("!")
    try:
        since = int(version)
        given = datetime.strptime(at, _TIME).replace(tzinfo=now.tzinfo)
    except ValueError:
        raise Refusal.SYNTAX(detail="The $deltatoken is not one that this service gave.") from None
    if now - given > RETENTION:
        raise Refusal.TOKEN_EXPIRED(table=table)
    return since


def _without(query: str, *names: str) -> str:
    return "&".join(part for part in query.split("&") if part and unquote(part.partition("=")[0]) not in names)


def _link(request: ODataRequest, rows: TableRows, name: str, value: str, *replaced: str) -> str:
    kept = _without(request.query, *replaced)
    query = f"{kept}&{name}={quote(value)}" if kept else f"{name}={quote(value)}"
    return f"{request.root}/{rows.table.set_name}?{query}"
