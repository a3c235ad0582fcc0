"""The CMMS's integration API (the Django app in `cmms/`): records by key, page by page, written under their ETag."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Final, override
from urllib.parse import quote

import httpx
import orjson

from shared.adapters.http.client import HttpService, passing, retry_after, usable_etag
from shared.adapters.http.gate import Gate
from shared.adapters.http.retry import on_its_way, patiently
from shared.adapters.row_hasher import RowHasher
from shared.domain import jsontext
from shared.domain.blocked import digest
from shared.domain.link import Intent
from shared.domain.model import BadValue, CmmsRecord, Value, Version
from shared.domain.schema.mapping import EntityMapping
from shared.domain.schema.values import parse_instant, shape, shown_raw
from shared.errors import (
    Conflict,
    MappingError,
    NotAuthorized,
    NotReady,
    PermanentError,
    RejectedByTarget,
    SyncError,
    Throttled,
    Unavailable,
)
from shared.flows.ports.engine import Clock, Failed

PAGE: Final = 500
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
        self._service = _CmmsService(
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

    async def aclose(self) -> None:
        """Close the connections."""
        await self._service.aclose()

    async def by_id(self, entity: EntityMapping, ids: Collection[str]) -> Mapping[str, CmmsRecord | MappingError]:
        """The records and tombstones, by id; one that cannot be read costs the others nothing."""
        return dict(_each(entity, raw, "id") for raw in await self._ask(entity, "ids", ids))

    async def by_key(self, entity: EntityMapping, keys: Collection[str]) -> Mapping[str, CmmsRecord | MappingError]:
        """The living records that have these keys, by key; one that cannot be read costs the others nothing."""
        return dict(_each(entity, raw, "clave") for raw in await self._ask(entity, "claves", keys))

    async def _ask(self, entity: EntityMapping, name: str, values: Collection[str]) -> list[Any]:
        wanted = list(values)
        found: list[Any] = []
        for start in range(0, len(wanted), PAGE):
            body = json.dumps({name: wanted[start : start + PAGE]})
            found += _results(entity, await self._read("POST", f"{entity.cmms}/consulta/", body=body))
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
            results = _results(entity, answer)
            yield _all(entity, results) if unreadable is None else _readable(entity, results, unreadable)
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
                ids = [_text(raw["id"]) for raw in records]
                keys = [_text(raw["clave"]) for raw in records]
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
        following: asyncio.Future[dict[str, Any]] | None = asyncio.ensure_future(self._list(entity, params))
        try:
            while following is not None:
                answer = await following
                cursor, results = answer.get("siguiente"), answer.get("resultados")
                if not isinstance(results, list) or not isinstance(cursor, str | None):
                    raise Unavailable(f"The CMMS's list of {entity.cmms} has an unknown form: check CMMS_BASE_URL.")
                following = None
                if cursor:
                    following = asyncio.ensure_future(self._list(entity, {**params, "cursor": cursor}))
                    await on_its_way()
                yield results
        finally:
            if following is not None:
                following.cancel()

    async def _list(self, entity: EntityMapping, params: Mapping[str, str]) -> dict[str, Any]:
        query = {"limite": str(LONGEST_PAGE), **params}

        async def ask() -> dict[str, Any]:
            return await self._read("GET", f"{entity.cmms}/", params=query, parse=_numbers)

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
            return _all(entity, [_json_of(response)])[0]
        except _AlreadyApplied as error:
            return _all(entity, [error.record])[0]
        except SyncError as error:
            return Failed(error, unknown=isinstance(error, Unavailable) and error.sent)

    async def _read(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: str | None = None,
        parse: Callable[[bytes], Any] = jsontext.parse,
    ) -> dict[str, Any]:
        """Send a request that reads. What is refused has no record to blame: it is a fault of the set-up."""
        try:
            return _json_of(await self._service.send(method, path, params=params, body=body), parse)
        except (PermanentError, Conflict) as error:
            raise NotReady(
                f"{error.message} Check CMMS_BASE_URL and the mapping's cmms names.",
                status=error.status,
                code=error.code,
            ) from error


class _AlreadyApplied(Conflict):
    """The create was done before, under the same operation id; `record` is what it made, as the API shows it now."""

    def __init__(self, record: Any) -> None:
        super().__init__("The CMMS has applied this create before.")
        self.record = record


class _CmmsService(HttpService):
    @override
    def meaning(self, response: httpx.Response) -> SyncError:
        status = response.status_code
        request = response.request
        where = f"{request.method} {request.url.path}"
        code, text, field = _error_of(response)
        detail = f": {text.rstrip('. ')}" if text else ""
        wait = retry_after(response, self.clock.now())
        match status:
            case HTTPStatus.TOO_MANY_REQUESTS:
                return Throttled(f"The CMMS asked us to slow down{detail}.", retry_after=wait, status=status, code=code)
            case HTTPStatus.UNAUTHORIZED | HTTPStatus.FORBIDDEN:
                return NotAuthorized(
                    f"The CMMS refused our token for {where}. Check CMMS_TOKEN.", status=status, code=code
                )
            case HTTPStatus.CONFLICT if code == "ya_aplicada":
                return _AlreadyApplied(_record_in(response))
            case HTTPStatus.CONFLICT | HTTPStatus.PRECONDITION_FAILED:
                return Conflict(f"{where}: the record changed, or exists already.", status=status, code=code)
            case _ if passing(status):
                # A redirect is one of them: another address answers, so CMMS_BASE_URL is not the API's.
                return Unavailable(
                    f"The CMMS answered {status} to {where}{detail}.", retry_after=wait, status=status, code=code
                )
            case HTTPStatus.NOT_FOUND if request.method == "PATCH":
                # Absence counts only from a list read: the record is read again.
                return Conflict(
                    f"{where}: not found; the record may have been deleted meanwhile.", status=status, code=code
                )
            case HTTPStatus.NOT_FOUND | HTTPStatus.METHOD_NOT_ALLOWED | HTTPStatus.GONE:
                return NotReady(
                    f"The CMMS knows no {where}{detail}. Check CMMS_BASE_URL and the mapping's cmms names.",
                    status=status,
                    code=code,
                )
        return RejectedByTarget(f"The CMMS refused {where}{detail}.", field=field, status=status, code=code)


def _numbers(text: bytes) -> Any:
    """A list's JSON. A number with a point becomes a float, which no field takes for exact: it is looked at closely."""
    try:
        return orjson.loads(text)
    except ValueError:
        return jsontext.parse(text)


def _json_of(response: httpx.Response, parse: Callable[[bytes], Any] = jsontext.parse) -> dict[str, Any]:
    try:
        answer = parse(response.content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise Unavailable(
            f"The CMMS answered {response.status_code} to {response.request.method} {response.request.url.path} with"
            " something that is not a JSON object: check CMMS_BASE_URL.",
            status=response.status_code,
        )
    return answer


def _error_of(response: httpx.Response) -> tuple[str | None, str, str | None]:
    """The code, the text and the field of an error; nothing where the body is not the API's."""
    try:
        error = jsontext.parse(response.content)["error"]
        code, text, field = error.get("codigo"), error.get("mensaje"), error.get("campo")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, "", None
    return str(code or "") or None, str(text or "")[:300], field if isinstance(field, str) else None


def _record_in(response: httpx.Response) -> Any:
    """The record beside an error."""
    try:
        error = jsontext.parse(response.content)
        return error.get("registro") or error["error"].get("registro")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _results(entity: EntityMapping, answer: dict[str, Any]) -> list[Any]:
    results = answer.get("resultados")
    if not isinstance(results, list):
        raise Unavailable(f"The CMMS's list of {entity.cmms} has no resultados: check CMMS_BASE_URL.")
    return results


def _all(entity: EntityMapping, results: Sequence[Any]) -> list[CmmsRecord]:
    """The records of an answer, or none of them where one cannot be read."""
    try:
        return [_record(entity, raw) for raw in results]
    except MappingError as error:
        raise Unavailable(error.message) from error


def _readable(
    entity: EntityMapping, results: Sequence[Any], unreadable: Callable[[str, str], None]
) -> list[CmmsRecord]:
    """The records of an answer that can be read; the others are named by id and key."""
    found: list[CmmsRecord] = []
    for raw in results:
        try:
            found.append(_record(entity, raw))
        except MappingError as error:
            record_id = raw.get("id") if isinstance(raw, dict) else None
            if not isinstance(record_id, str):
                raise Unavailable(error.message) from error
            unreadable(record_id, _key_of(raw))
    return found


def _each(entity: EntityMapping, raw: Any, name: str) -> tuple[str, CmmsRecord | MappingError]:
    """A record, or why it cannot be read, by its id or key. One that lacks that spoils the whole answer."""
    found: CmmsRecord | MappingError
    try:
        found = _record(entity, raw)
    except MappingError as error:
        found = error
    value = raw.get(name) if isinstance(raw, dict) else None
    if not isinstance(value, str) or not value:
        raise Unavailable(f"A record of the CMMS's {entity.cmms} came without a usable {name}.")
    return value, found


def _record(entity: EntityMapping, raw: Any) -> CmmsRecord:
    """A record or tombstone as the API shows it. A field's own bad value is among its errors, and costs no other field.

    Raises:
        MappingError: The record is not of the API's form; names it, and what of it is wrong.
    """
    member = "id"
    try:
        record_id = _text(raw["id"])
        member = "clave"
        key = _text(raw["clave"])
        member = "version"
        version = Version(parse_instant(raw["version"])) if raw.get("version") else None
        if raw.get("borrado"):
            return CmmsRecord(key, "", {}, id=record_id, version=version, deleted=True)
        member = "campos"
        values, errors = _values(entity, raw["campos"])
        member = "operaciones"
        taken = raw.get("operaciones")
        operations = tuple(map(_text, taken)) if isinstance(taken, list) else None
        member = "revision"
        revision = _count(raw.get("revision"))
        member = "etag"
        etag = usable_etag(raw["etag"])
    except (KeyError, TypeError, ValueError) as error:
        name = f"The record {key[:100]}" if (key := _key_of(raw)) else "A record without a usable key"
        why = "is missing" if isinstance(error, KeyError) else str(error)
        raise MappingError(
            f"{name} of the CMMS's {entity.cmms} cannot be read, as its {member} is not of the API's form: {why}."
            " Correct that in the CMMS.",
            field=member,
        ) from error
    by_us = raw.get("modificado_por") == "integracion"
    return CmmsRecord(
        key, etag, values, errors, id=record_id, version=version, operations=operations, revision=revision, by_us=by_us
    )


def _values(entity: EntityMapping, fields: Any) -> tuple[dict[str, Value], dict[str, BadValue]]:
    """The values of mapped fields in their normal form, and what their rules refuse."""
    if not isinstance(fields, dict):
        raise TypeError(f"is {shape(fields)}, not an object")
    values: dict[str, Value] = {}
    errors: dict[str, BadValue] = {}
    for name, value in fields.items():
        rule = entity.fields.get(entity.names.get(name, ""))
        if rule is None:
            continue
        try:
            values[rule.name] = rule.from_cmms(value)
        except MappingError as error:
            errors[rule.name] = BadValue(error, digest(value), shown_raw(value))
    return values, errors


def _key_of(raw: Any) -> str:
    """The key of a record of any form, "" where it has none."""
    key = raw.get("clave") if isinstance(raw, dict) else None
    return key if isinstance(key, str) else ""


def _count(raw: object) -> int | None:
    if raw is not None and (not isinstance(raw, int) or isinstance(raw, bool) or raw < 0):
        raise TypeError(f"is {shape(raw)}, not a whole number from 0 on")
    return raw


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise TypeError(f"is {shape(raw)}, not text")
    return raw
