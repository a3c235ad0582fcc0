"""Whole tables and their changes, by Dataverse's change tracking.

https://learn.microsoft.com/power-apps/developer/data-platform/use-change-tracking-synchronize-data-external-systems:
a first read gives every row and ends in a delta link; a delta link gives the rows that changed since, then the ids of
those that were deleted. Filters and orders are refused, and a link may expire.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from shared.adapters.dataverse.client import DataverseClient
from shared.adapters.dataverse.lookups import Lookups
from shared.adapters.dataverse.wire import with_codes
from shared.adapters.http.retry import on_its_way, patiently
from shared.adapters.pages import Parse, reader
from shared.adapters.row_hasher import RowHasher
from shared.domain import jsontext
from shared.domain.schema.mapping import STATE, EntityMapping
from shared.errors import Conflict, DeltaRefused, NotReady, PermanentError, Unavailable
from shared.flows.ports.engine import DynamicsChanges, DynamicsHashes

PAGE: Final = 5000
_TRACKED: Final = {"Prefer": f"odata.track-changes,odata.maxpagesize={PAGE}"}
_UNTRACKED: Final = {"Prefer": f"odata.maxpagesize={PAGE}"}
TRACKING_OFF: Final = "0x80072491"


async def hashes(client: DataverseClient, entity: EntityMapping, lookups: Lookups) -> AsyncIterator[DynamicsHashes]:
    """Every row as a hash, and at the end the delta link, or None where the table's changes are not tracked."""
    params = {"$select": ",".join(entity.mapped_columns)}
    parse = reader("value", entity.mapped_columns, "@odata.nextLink", "@odata.deltaLink")
    reading = _Reading(client, entity, _TRACKED, parse)
    try:
        first = await reading.page(entity.set, params)
    except DeltaRefused as error:
        if error.code != TRACKING_OFF:
            raise
        reading = _Reading(client, entity, _UNTRACKED, parse)
        first = await reading.page(entity.set, params | {"$orderby": entity.id})
    hasher = RowHasher(entity)
    name, key_name = entity.id, entity.key.column
    async for answer in reading.ahead(first):
        try:
            rows = answer["value"]
            if entity.lookups:
                codes = await lookups.codes(entity, rows)
                rows = [with_codes(entity, row, codes) for row in rows]
            ids = [row[name].lower() for row in rows]
            keys = [key if type(key := row.get(key_name)) is str else "" for row in rows]
            inactive = [row.get(STATE) == entity.inactive.state for row in rows]
            page = list(zip(ids, keys, hasher.dynamics(rows), inactive, strict=True))
        except (KeyError, TypeError, AttributeError) as error:
            raise Unavailable(f"Dynamics' list of {entity.set} has an unknown form.") from error
        yield DynamicsHashes(page, answer.get("@odata.deltaLink"))


async def changes(client: DataverseClient, entity: EntityMapping, link: str) -> AsyncIterator[DynamicsChanges]:
    """What changed since the link was given.

    Raises:
        DeltaRefused: The link expired, or Dataverse does not know it: everything has to be read again.
    """
    reading = _Reading(client, entity, _TRACKED, jsontext.parse)
    async for answer in reading.ahead(await reading.page(link)):
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


@dataclass(frozen=True)
class _Reading:
    """How an entity's pages are asked for and read."""

    client: DataverseClient
    entity: EntityMapping
    headers: Mapping[str, str]
    parse: Parse

    async def ahead(self, answer: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """The pages, each next one asked for before this one is worked on, so that both sides of the wire are busy."""
        while True:
            link = answer.get("@odata.nextLink")
            following = None
            if link:
                following = asyncio.ensure_future(self.page(link))
                await on_its_way()
            try:
                yield answer
                if following is None:
                    return
                answer = await following
            finally:
                if following is not None and not following.done():
                    following.cancel()

    async def page(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        """One page.

        Raises:
            DeltaRefused: Dataverse does not give it.
            TransientError: It could not be read.
        """

        async def ask() -> httpx.Response:
            return await self.client.send("GET", path, params=params, headers=self.headers, seconds=120)

        try:
            response = await patiently(ask)
        except (PermanentError, Conflict, NotReady) as error:
            raise DeltaRefused(
                error.message, status=error.status, code=error.code, request_id=error.request_id
            ) from error
        answer = self._json(response.content)
        if not isinstance(answer, dict) or not isinstance(answer.get("value"), list):
            raise Unavailable(f"Dynamics' list of {self.entity.set} has no value: a proxy may stand between.")
        return answer

    def _json(self, content: bytes) -> Any:
        try:
            return self.parse(content)
        except jsontext.JsonError:
            return None
