"""Rows of Dataverse, found by filter and written by id under conditions."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from copy import replace
from functools import partial
from uuid import UUID

import httpx

from shared.adapters.dataverse import tracking
from shared.adapters.dataverse.answers import json_of, of_all_rows, records_of, rows_of
from shared.adapters.dataverse.bulk import BulkWriter
from shared.adapters.dataverse.chunks import share
from shared.adapters.dataverse.client import DataverseClient
from shared.adapters.dataverse.keys import AlternateKeys
from shared.adapters.dataverse.lookups import NO_RECORDS, Lookups
from shared.adapters.dataverse.query import fold, in_filters
from shared.adapters.dataverse.references import NO_REFERENCES, References
from shared.adapters.dataverse.security import ColumnSecurity
from shared.adapters.dataverse.writes import DynamicsWrite, write_of
from shared.adapters.http.retry import patiently
from shared.domain.model import DynamicsRecord, Values
from shared.domain.schema.mapping import EntityMapping
from shared.domain.write import Intent
from shared.errors import SyncError, Unavailable
from shared.flows.ports.engine import Clock, DynamicsChanges, DynamicsHashes, Failed, RecordKeys

log = logging.getLogger(__name__)

PAGE = 5000


type _Ask = Callable[[], Awaitable[httpx.Response]]


async def _once(ask: _Ask) -> httpx.Response:
    """A question of the engine is not asked again here: its messages are."""
    return await ask()


class DataverseGateway:
    """The Dynamics side for the flows."""

    def __init__(self, client: DataverseClient, clock: Clock, keys: RecordKeys = NO_RECORDS) -> None:
        """`keys` tells how the CMMS calls the rows of the mapping's own tables, for lookups that refer to them."""
        self._client = client
        self._identity: asyncio.Future[tuple[UUID, UUID]] | None = None
        self._lookups = Lookups(client, clock, keys)
        # A pass over all rows takes the keys that Dynamics has: what differs for the moment is looked at closely.
        self._listed = Lookups(client, clock)
        self._bulk = BulkWriter(client, clock, self._lookups)
        self._keys = AlternateKeys(client, clock)
        self._security = ColumnSecurity(client, clock, self.user_id)

    @property
    def requests(self) -> int:
        """The requests sent so far."""
        return self._client.requests

    @property
    def is_down(self) -> bool:
        """Whether Dynamics failed several times in a row, and has not answered since."""
        return self._client.gate.is_down

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def organization_id(self) -> UUID:
        """The organization that we are signed in to; see `user_id`."""
        return (await self._who_am_i())[0]

    async def user_id(self) -> UUID:
        """The user that we are signed in as, asked once: whoever asks meanwhile waits for the same answer.

        Raises:
            SyncError: Dynamics could not tell; the next call asks again.
        """
        return (await self._who_am_i())[1]

    async def _who_am_i(self) -> tuple[UUID, UUID]:
        if self._identity is None:
            self._identity = asyncio.ensure_future(self._ask_who_am_i())
            self._identity.add_done_callback(self._told)
        # A caller that goes away takes the answer from nobody else.
        return await asyncio.shield(self._identity)

    async def _ask_who_am_i(self) -> tuple[UUID, UUID]:
        answer = json_of(await self._ask("WhoAmI"))
        try:
            return UUID(answer["OrganizationId"]), UUID(answer["UserId"])
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            raise Unavailable("Dynamics' answer to WhoAmI names no organization, or no user.") from error

    def _told(self, answer: asyncio.Future[tuple[UUID, UUID]]) -> None:
        if answer is self._identity and (answer.cancelled() or answer.exception() is not None):
            self._identity = None

    async def unreadable(self, entity: EntityMapping) -> frozenset[str]:
        """The columns, of those that the mapping reads, that are secured against our user: they read as null."""
        return await self._security.unreadable(entity)

    async def unresolved(self, entity: EntityMapping, values: Sequence[Values]) -> Mapping[tuple[str, str], SyncError]:
        """The codes of lookups that refer to no single row, by field and code, and why."""
        return (await self._lookups.references(entity, values)).problems

    async def by_key(self, entity: EntityMapping, keys: Collection[str]) -> Mapping[str, Sequence[DynamicsRecord]]:
        """Every row that Dynamics takes for one of these keys, by the key asked for."""
        found: dict[str, list[DynamicsRecord]] = {key: [] for key in keys}
        # A row that Dynamics takes for a key belongs to it, even if it is written differently.
        alike: dict[str, list[str]] = {}
        for key in found:
            alike.setdefault(fold(key), []).append(key)
        unsure: set[str] = set()
        for row in await self._filtered(entity, entity.key.column, list(found)):
            candidates = alike.get(fold(row.key), ())
            if len(candidates) == 1:
                found[candidates[0]].append(row)
            elif candidates:
                unsure.update(candidates)
            else:
                log.warning("%s gave the row %s for none of the keys asked for", entity.set, row.id)
        # Which of several similar keys a row answers, only Dynamics' collation knows: each is asked for alone.
        for key in unsure:
            found[key] = list(await self._filtered(entity, entity.key.column, [key]))
        return found

    async def by_id(self, entity: EntityMapping, ids: Collection[str]) -> Mapping[str, DynamicsRecord]:
        """The rows that exist, by id."""
        return {row.id: row for row in await self._filtered(entity, entity.id, list(ids), guids=True)}

    async def _filtered(
        self, entity: EntityMapping, column: str, values: Sequence[str], *, guids: bool = False
    ) -> Sequence[DynamicsRecord]:
        rows: list[DynamicsRecord] = []
        for _, condition in in_filters(column, values, guids=guids):
            params = {"$select": ",".join(entity.select), "$filter": condition}
            async for page in self._pages(entity, params):
                rows.extend(page)
        return await self._knowing_us(rows)

    async def _knowing_us[R: (DynamicsRecord, DynamicsRecord | Failed)](self, rows: Sequence[R]) -> Sequence[R]:
        """The rows, knowing whether their last change was ours; asked for where one of them shows a write of ours."""
        if not any(isinstance(row, DynamicsRecord) and row.operations for row in rows):
            return rows
        try:
            us = str(await self.user_id())
        except SyncError:
            return rows  # somebody may have edited them, as far as we know
        return [_by(us, row) if isinstance(row, DynamicsRecord) else row for row in rows]

    async def pages(self, entity: EntityMapping) -> AsyncIterator[Sequence[DynamicsRecord]]:
        """Every row, page by page, in the order of the ids."""
        params = {"$select": ",".join(entity.select), "$orderby": entity.id}
        async for page in self._pages(entity, params, patiently):
            yield page

    def hashes(self, entity: EntityMapping) -> AsyncIterator[DynamicsHashes]:
        """Every row as a hash, page by page, then the delta link."""
        return tracking.hashes(self._client, entity, self._listed)

    def changes(self, entity: EntityMapping, link: str) -> AsyncIterator[DynamicsChanges]:
        """What changed since the delta link was given."""
        return tracking.changes(self._client, entity, link)

    async def _pages(
        self, entity: EntityMapping, params: dict[str, str], again: Callable[[_Ask], Awaitable[httpx.Response]] = _once
    ) -> AsyncIterator[list[DynamicsRecord]]:
        path: str | None = entity.set
        query: dict[str, str] | None = params
        seen: set[str] = set()
        while path is not None:
            ask = partial(self._ask, path, query, {"Prefer": f"odata.maxpagesize={PAGE}"})
            answer = json_of(await again(ask))
            page = records_of(entity, answer, await self._lookups.codes(entity, rows_of(entity, answer)))
            path, query = answer.get("@odata.nextLink"), None
            if path is not None and (not isinstance(path, str) or path in seen):
                raise Unavailable(f"Dynamics' list of {entity.set} goes on at no address, or in a circle.")
            seen.update([path] if path else [])
            yield page

    async def _ask(
        self, path: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Read. What Dynamics refuses to read has no row to blame: it is a fault of the set-up, to be mended there."""
        with of_all_rows():
            return await self._client.send("GET", path, params=params, headers=headers)

    def share(self, records: int) -> int:
        """How many of so many records to write together; see the port."""
        return share(records, self._client.parallel)

    async def write(
        self, entity: EntityMapping, intents: Sequence[Intent], deadline: float
    ) -> Sequence[DynamicsRecord | Failed]:
        """Create and update, each row under its own condition, in as few requests as they fit into.

        A field whose lookup finds no row is left out and blocked, or waited for; the rest of its row is written.
        """
        return await self._knowing_us(await self._write(entity, intents, deadline))

    async def _write(
        self, entity: EntityMapping, intents: Sequence[Intent], deadline: float
    ) -> Sequence[DynamicsRecord | Failed]:
        writes = [write_of(entity, intent) for intent in intents]
        if not entity.lookups:
            return await self._written(entity, writes, NO_REFERENCES, deadline)
        try:
            references = await self._lookups.references(entity, [write.values for write in writes])
        except SyncError as error:
            return [Failed(error)] * len(writes)
        parts = [references.without_problems(write) for write in writes]
        possible = [write for write, _ in parts if write is not None]
        done = iter(await self._written(entity, possible, references, deadline))
        results: list[DynamicsRecord | Failed] = []
        for write, (part, problem) in zip(writes, parts, strict=True):
            row = None if part is None else next(done)
            if isinstance(row, Failed) or (row is not None and problem is None):
                results.append(row)
            elif problem is not None:
                left_out = frozenset() if part is None else frozenset(write.values.keys() - part.values.keys())
                results.append(Failed(problem, row=row, left_out=left_out))
        return results

    async def _written(
        self, entity: EntityMapping, writes: Sequence[DynamicsWrite], references: References, deadline: float
    ) -> Sequence[DynamicsRecord | Failed]:
        creates = [number for number, write in enumerate(writes) if write.id is None]
        updates = [number for number, write in enumerate(writes) if write.id is not None]
        results: dict[int, DynamicsRecord | Failed] = {}
        if creates:
            try:
                await self._keys.insist(entity)
            except SyncError as error:
                results.update(dict.fromkeys(creates, Failed(error)))
                creates = []
        chunks = [
            *_chunks(creates, self._bulk.size(entity, "create"), self._bulk.create),
            *_chunks(updates, self._bulk.size(entity, "update"), self._bulk.update),
        ]
        done = await asyncio.gather(
            *(write(entity, [writes[number] for number in chunk], references, deadline) for chunk, write in chunks)
        )
        for (chunk, _), answers in zip(chunks, done, strict=True):
            results.update(zip(chunk, answers, strict=True))
        return [results[number] for number in range(len(writes))]


def _by(us: str, row: DynamicsRecord) -> DynamicsRecord:
    return replace(row, by_us=True) if row.modified_by == us else row


def _chunks[T](numbers: list[int], size: int, write: T) -> Iterator[tuple[list[int], T]]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size], write
