"""Whole tables and their changes, by Dataverse's change tracking.

https://learn.microsoft.com/power-apps/developer/data-platform/use-change-tracking-synchronize-data-external-systems:
a first read gives every row and ends in a delta link; a delta link gives the rows that changed since, then the ids of
those that were deleted. Filters and orders are refused, and a link may expire.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx

from shared.adapters.dataverse.client import DataverseClient
from shared.adapters.dataverse.lookups import Lookups
from shared.adapters.dataverse.wire import with_codes
from shared.adapters.http.retry import on_its_way, patiently
from shared.adapters.row_hasher import Number, RowHasher
from shared.domain import jsontext
from shared.domain.schema.mapping import EntityMapping
from shared.errors import Conflict, DeltaRefused, NotReady, PermanentError, Unavailable
from shared.flows.ports.engine import DynamicsChanges, DynamicsHashes

PAGE: Final = 5000
_TRACKED: Final = {"Prefer": f"odata.track-changes,odata.maxpagesize={PAGE}"}
_UNTRACKED: Final = {"Prefer": f"odata.maxpagesize={PAGE}"}
TRACKING_OFF: Final = "0x80072491"


async def hashes(client: DataverseClient, entity: EntityMapping, lookups: Lookups) -> AsyncIterator[DynamicsHashes]:
    """Every row as a hash, and at the end the delta link, or None where the table's changes are not tracked."""
    params = {"$select": ",".join(entity.mapped_columns)}
    try:
        first = await _page(client, entity, entity.set, params, _TRACKED)
        headers = _TRACKED
    except DeltaRefused as error:
        if error.code != TRACKING_OFF:
            raise
        headers = _UNTRACKED
        first = await _page(client, entity, entity.set, params | {"$orderby": entity.id}, headers)
    hasher = RowHasher(entity)
    off = entity.inactive.state if entity.inactive is not None else None
    async for answer in _ahead(client, entity, first, headers):
        try:
            rows = answer["value"]
            if entity.lookups:
                codes = await lookups.codes(entity, rows)
                rows = [with_codes(entity, row, codes) for row in rows]
            ids = [row[entity.id].lower() for row in rows]
            keys = [key if type(key := row.get(entity.key.column)) is str else "" for row in rows]
            inactive = [off is not None and row.get("statecode") == off for row in rows]
            page = list(zip(ids, keys, hasher.dynamics(rows), inactive, strict=True))
        except (KeyError, TypeError, AttributeError) as error:
            raise Unavailable(f"Dynamics' list of {entity.set} has an unknown form.") from error
        yield DynamicsHashes(page, answer.get("@odata.deltaLink"))


async def changes(client: DataverseClient, entity: EntityMapping, link: str) -> AsyncIterator[DynamicsChanges]:
    """What changed since the link was given.

    Raises:
        DeltaRefused: The link expired, or Dataverse does not know it: everything has to be read again.
    """
    first = await _page(client, entity, link, None, _TRACKED)
    async for answer in _ahead(client, entity, first, _TRACKED):
        changed: dict[str, str] = {}
        deleted: list[str] = []
        try:
            for row in answer["value"]:
                if row.get("reason") == "deleted" or "$deletedEntity" in row.get("@odata.context", ""):
                    deleted.append(row["id"].lower())
                else:
                    key = row.get(entity.key.column)
                    changed[row[entity.id].lower()] = key if isinstance(key, str) else ""
        except (KeyError, TypeError, AttributeError) as error:
            raise Unavailable(f"Dynamics' changes of {entity.set} have an unknown form.") from error
        yield DynamicsChanges(changed, deleted, answer.get("@odata.deltaLink"))


async def _ahead(
    client: DataverseClient, entity: EntityMapping, answer: dict[str, Any], headers: dict[str, str]
) -> AsyncIterator[dict[str, Any]]:
    """The pages, each next one asked for before this one is worked on, so that both sides of the wire are busy."""
    while True:
        link = answer.get("@odata.nextLink")
        following = None
        if link:
            following = asyncio.ensure_future(_page(client, entity, link, None, headers))
            await on_its_way()
        try:
            yield answer
            if following is None:
                return
            answer = await following
        finally:
            if following is not None and not following.done():
                following.cancel()


async def _page(
    client: DataverseClient,
    entity: EntityMapping,
    path: str,
    params: dict[str, str] | None,
    headers: dict[str, str],
) -> dict[str, Any]:
    async def ask() -> httpx.Response:
        return await client.send("GET", path, params=params, headers=headers, seconds=120)

    try:
        response = await patiently(ask)
    except (PermanentError, Conflict, NotReady) as error:
        raise DeltaRefused(error.message, status=error.status, code=error.code, request_id=error.request_id) from error
    answer = _json(response.content)
    if not isinstance(answer, dict) or not isinstance(answer.get("value"), list):
        raise Unavailable(f"Dynamics' list of {entity.set} has no value: a proxy may stand between.")
    return answer


def _json(content: bytes) -> Any:
    try:
        return jsontext.parse(content, Number)
    except jsontext.JsonError:
        return None
