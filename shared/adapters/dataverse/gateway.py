"""Rows of Dataverse, found by filter and written by id under conditions."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from uuid import UUID

import httpx

from shared.adapters.dataverse.client import SINGLE_TIMEOUT, DataverseClient, json_of
from shared.adapters.dataverse.query import in_filters
from shared.adapters.dataverse.wire import dumps, to_columns, to_record
from shared.domain.mapping import EntityMapping
from shared.domain.model import DynamicsRecord
from shared.errors import SyncError, Unavailable
from shared.flows.ports import Clock, DynamicsWrite, Failed

PAGE = 5000
PARALLEL = 2
"""Requests at a time: several workers share the organization's limits."""


class DataverseGateway:
    """The Dynamics side for the flows."""

    def __init__(self, client: DataverseClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._organization_id: UUID | None = None
        self._width = asyncio.Semaphore(PARALLEL)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def organization_id(self) -> UUID:
        """The organization that we are signed in to, asked once."""
        if self._organization_id is None:
            answer = json_of(await self._client.send("GET", "WhoAmI"))
            self._organization_id = UUID(answer["OrganizationId"])
        return self._organization_id

    async def by_key(self, entity: EntityMapping, keys: Collection[str]) -> Mapping[str, Sequence[DynamicsRecord]]:
        """Every row that Dynamics takes for one of these keys, by the key asked for."""
        found: dict[str, list[DynamicsRecord]] = {key: [] for key in keys}
        # Dynamics may compare without regard to case: such a row belongs to the key that it was found for.
        folded: dict[str, list[str]] = {}
        for key in found:
            folded.setdefault(_fold(key), []).append(key)
        for row in await self._filtered(entity, entity.key.column, list(found)):
            for key in folded.get(_fold(row.key), ()):
                found[key].append(row)
        return found

    async def by_id(self, entity: EntityMapping, ids: Collection[str]) -> Mapping[str, DynamicsRecord]:
        """The rows that exist, by id."""
        return {row.id: row for row in await self._filtered(entity, entity.id, list(ids), guids=True)}

    async def _filtered(
        self, entity: EntityMapping, column: str, values: Sequence[str], *, guids: bool = False
    ) -> list[DynamicsRecord]:
        rows: list[DynamicsRecord] = []
        for _, condition in in_filters(column, values, guids=guids):
            params = {"$select": ",".join(entity.select), "$filter": condition}
            async for page in self._pages(entity, params):
                rows.extend(page)
        return rows

    async def pages(self, entity: EntityMapping) -> AsyncIterator[Sequence[DynamicsRecord]]:
        """Every row, page by page, in the order of the ids."""
        params = {"$select": ",".join(entity.select), "$orderby": entity.id}
        async for page in self._pages(entity, params):
            yield page

    async def _pages(self, entity: EntityMapping, params: dict[str, str]) -> AsyncIterator[list[DynamicsRecord]]:
        path: str | None = entity.set
        query: dict[str, str] | None = params
        while path is not None:
            async with self._width:
                response = await self._client.send(
                    "GET", path, params=query, headers={"Prefer": f"odata.maxpagesize={PAGE}"}
                )
            answer = json_of(response)
            try:
                page = [to_record(entity, row) for row in answer["value"]]
                path, query = answer.get("@odata.nextLink"), None
            except (KeyError, TypeError, AttributeError) as error:
                raise Unavailable(f"Dynamics' list of {entity.set} has an unknown form.") from error
            yield page

    async def write(
        self, entity: EntityMapping, writes: Sequence[DynamicsWrite], deadline: float
    ) -> Sequence[DynamicsRecord | Failed]:
        """Create and update, each row under its own condition."""
        return await asyncio.gather(*(self._write(entity, write, deadline) for write in writes))

    async def _write(self, entity: EntityMapping, write: DynamicsWrite, deadline: float) -> DynamicsRecord | Failed:
        async with self._width:
            seconds = min(SINGLE_TIMEOUT, deadline - self._clock.monotonic())
            if seconds <= 0:
                return Failed(Unavailable("The time for writing to Dynamics was over before this row's turn."))
            headers = {"Prefer": "return=representation"}
            if write.id is None:
                method, path = "POST", entity.set
                # Without an alternate key nothing stops a second row; with one, a second create is refused.
            else:
                method, path = "PATCH", f"{entity.set}({write.id})"
                headers["If-Match"] = write.etag or "*"
            try:
                response = await asyncio.wait_for(
                    self._client.send(
                        method,
                        path,
                        params={"$select": ",".join(entity.select)},
                        body=dumps(to_columns(entity, write)),
                        headers=headers,
                        seconds=seconds,
                    ),
                    seconds,
                )
                return to_record(entity, json_of(response))
            except TimeoutError:
                return Failed(Unavailable("Dynamics did not answer in time."), unknown=True)
            except Unavailable as error:
                return Failed(error, unknown=not _never_sent(error))
            except SyncError as error:
                return Failed(_named(entity, error))


def _fold(key: str) -> str:
    return key.casefold().rstrip()


def _never_sent(error: Unavailable) -> bool:
    return isinstance(error.__cause__, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))


def _named(entity: EntityMapping, error: SyncError) -> SyncError:
    """Name the CMMS's field instead of Dynamics' column, and drop what is not one of ours."""
    column = error.field
    error.field = next(
        (
            rule.name
            for rule in entity.fields.values()
            if column is not None and column in {rule.column, rule.write_column, rule.state_column}
        ),
        None,
    )
    return error
