"""The CMMS's integration API (the Django app in `cmms/`): records by key, page by page, written under their ETag."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import httpx

from shared.adapters.cmms.service import AlreadyApplied, CmmsService, json_of
from shared.adapters.cmms.wire import all_of, each, readable, results_of, text_of
from shared.adapters.http.gate import Gate
from shared.adapters.http.retry import on_its_way, patiently
from shared.adapters.pages import Parse, reader
from shared.adapters.row_hasher import RowHasher
from shared.domain import jsontext
from shared.domain.model import CmmsRecord
from shared.domain.schema.mapping import EntityMapping
from shared.domain.write import Intent
from shared.errors import (
    Conflict,
    MappingError,
    NotReady,
    PermanentError,
    SyncError,
    Unavailable,
)
from shared.flows.ports.engine import Clock, Failed

PAGE: Final = 500
ASKED: Final = 512
"""Ids or keys of one question, which may have 5,000: a lane's 500 and what is read along with them."""
LONGEST_PAGE: Final = 5000
"""Asked for when everything is read; the CMMS's PAGE_LIMIT decides."""
PARALLEL: Final = 4
"""Requests at a time: the CMMS is one Django application, and people work with it."""


class CmmsGateway:
    """The CMMS side for the flows."""

    def __init__(
        self, base_url: str, token: str, clock: Clock, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`transport` replaces the network in tests."""
        self._service = CmmsService(
            "The CMMS",
            f"{base_url}/integracion",
            Gate(clock, "The CMMS", width=PARALLEL),
            clock,
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            transport=transport,
        )

    @property
    def requests(self) -> int:
        """The requests sent so far."""
        return self._service.requests

    @property
    def is_down(self) -> bool:
        """Whether the CMMS failed several times in a row, and has not answered since."""
        return self._service.gate.is_down

    async def aclose(self) -> None:
        """Close the connections."""
        await self._service.aclose()

    async def by_id(self, entity: EntityMapping, ids: Collection[str]) -> Mapping[str, CmmsRecord | MappingError]:
        """The records and tombstones, by id; one that cannot be read costs the others nothing."""
        return dict(each(entity, raw, "id") for raw in await self._ask(entity, "ids", ids))

    async def by_key(self, entity: EntityMapping, keys: Collection[str]) -> Mapping[str, CmmsRecord | MappingError]:
        """The living records that have these keys, by key; one that cannot be read costs the others nothing."""
        return dict(each(entity, raw, "clave") for raw in await self._ask(entity, "claves", keys))

    async def _ask(self, entity: EntityMapping, name: str, values: Collection[str]) -> list[Any]:
        wanted = list(values)
        found: list[Any] = []
        for start in range(0, len(wanted), ASKED):
            body = json.dumps({name: wanted[start : start + ASKED]})
            found += results_of(entity, await self._read("POST", f"{entity.cmms}/consulta/", body=body))
        return found

    async def pages(
        self, entity: EntityMapping, unreadable: Callable[[str, str], None] | None = None
    ) -> AsyncIterator[Sequence[CmmsRecord]]:
        """Every existing record, page by page, in the order of the keys; see the port."""
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            params = {"limite": str(PAGE)} | ({"cursor": cursor} if cursor else {})
            answer = await patiently(partial(self._read, "GET", f"{entity.cmms}/", params=params))
            results = results_of(entity, answer)
            yield all_of(entity, results) if unreadable is None else readable(entity, results, unreadable)
            cursor = answer.get("siguiente")
            if not cursor:
                return
            if not isinstance(cursor, str) or cursor in seen:
                raise Unavailable(f"The CMMS's list of {entity.cmms} goes on at no cursor, or in a circle.")
            seen.add(cursor)

    async def hashes(self, entity: EntityMapping) -> AsyncIterator[Sequence[tuple[str, str, str]]]:
        """Every existing record as (id, key, hash), page by page, in the order of the ids.

        A record without usable fields is looked at closely, which tells what is wrong with it.
        """
        hasher = RowHasher(entity)
        async for results in self._lists(entity, {}):
            try:
                records = [raw for raw in results if not raw.get("borrado")]
                fields = [campos if isinstance(campos := raw.get("campos"), dict) else {} for raw in records]
                ids = [text_of(raw["id"]) for raw in records]
                keys = [text_of(raw["clave"]) for raw in records]
                page = list(zip(ids, keys, hasher.cmms(fields), strict=True))
            except (KeyError, TypeError, AttributeError) as error:
                raise Unavailable(f"A record of the CMMS's {entity.cmms} has an unknown form.") from error
            yield page

    async def changed_since(self, entity: EntityMapping, since: datetime) -> AsyncIterator[Sequence[str]]:
        """The ids of what was announced since an instant, tombstones included."""
        async for results in self._lists(entity, {"modificado_desde": since.isoformat()}):
            try:
                yield [str(raw["id"]) for raw in results]
            except (KeyError, TypeError) as error:
                raise Unavailable(f"A record of the CMMS's {entity.cmms} has an unknown form.") from error

    async def _lists(self, entity: EntityMapping, params: Mapping[str, str]) -> AsyncIterator[list[Any]]:
        """A list's pages, each next one asked for before this one is worked on."""
        parse = reader("resultados", ("id", "clave", "borrado"), "siguiente", campos=entity.names)
        following: asyncio.Future[dict[str, Any]] | None = asyncio.ensure_future(self._list(entity, params, parse))
        try:
            while following is not None:
                answer = await following
                cursor, results = answer.get("siguiente"), answer.get("resultados")
                if not isinstance(results, list) or not isinstance(cursor, str | None):
                    raise Unavailable(f"The CMMS's list of {entity.cmms} has an unknown form: check CMMS_BASE_URL.")
                following = None
                if cursor:
                    following = asyncio.ensure_future(self._list(entity, {**params, "cursor": cursor}, parse))
                    await on_its_way()
                yield results
        finally:
            if following is not None:
                following.cancel()

    async def _list(self, entity: EntityMapping, params: Mapping[str, str], parse: Parse) -> dict[str, Any]:
        query = {"limite": str(LONGEST_PAGE), **params}

        async def ask() -> dict[str, Any]:
            return await self._read("GET", f"{entity.cmms}/", params=query, parse=parse)

        return await patiently(ask)

    async def write(
        self, entity: EntityMapping, writes: Sequence[Intent], deadline: float
    ) -> Sequence[CmmsRecord | Failed]:
        """Create and update, each record under its own condition."""
        return await asyncio.gather(*(self._write(entity, write, deadline) for write in writes))

    async def _write(self, entity: EntityMapping, write: Intent, deadline: float) -> CmmsRecord | Failed:
        fields = {name: entity.rules[name].as_json(value) for name, value in write.values.items()}
        method, path, headers = "POST", f"{entity.cmms}/", {"Operation-Id": write.id}
        if write.etag is not None:
            # An id of dots would be taken for a step through folders.
            segment = quote(write.target or "", safe="").replace(".", "%2E")
            method, path, headers = "PATCH", f"{entity.cmms}/{segment}/", {**headers, "If-Match": write.etag}
        try:
            response = await self._service.send(
                method, path, body=json.dumps({"campos": fields}), headers=headers, deadline=deadline
            )
            return all_of(entity, [json_of(response)])[0]
        except AlreadyApplied as error:
            return Failed(error, row=all_of(entity, [error.record])[0])
        except SyncError as error:
            return Failed(error, unknown=isinstance(error, Unavailable) and error.sent)

    async def _read(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: str | None = None,
        parse: Parse = jsontext.parse,
    ) -> dict[str, Any]:
        """Send a request that reads. What is refused has no record to blame: it is a fault of the set-up."""
        try:
            return json_of(await self._service.send(method, path, params=params, body=body), parse)
        except (PermanentError, Conflict) as error:
            raise NotReady(
                f"{error.message} Check CMMS_BASE_URL and the mapping's cmms names.",
                status=error.status,
                code=error.code,
            ) from error
