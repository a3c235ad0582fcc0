"""The CMMS's integration API (the Django app in `cmms/`): records by key, page by page, written under their ETag."""

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from decimal import Decimal
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final
from urllib.parse import quote

import httpx

from shared.domain.mapping import EntityMapping
from shared.domain.merge import digest
from shared.domain.model import BadValue, CmmsRecord, Value, Version
from shared.domain.values import parse_instant
from shared.errors import (
    Conflict,
    MappingError,
    NotAuthorized,
    RejectedByTarget,
    SyncError,
    Throttled,
    Unavailable,
)
from shared.flows.ports import Clock, CmmsWrite, Failed

TIMEOUT: Final = 30.0
PAGE: Final = 500
PARALLEL: Final = 4
"""Writes at a time: the CMMS is one Django application, and people work with it."""


class CmmsGateway:
    """The CMMS side for the flows."""

    def __init__(
        self, base_url: str, token: str, clock: Clock, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`transport` replaces the network in tests."""
        self._clock = clock
        self._http = httpx.AsyncClient(
            base_url=f"{base_url}/integracion/",
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            timeout=TIMEOUT,
            transport=transport,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            trust_env=transport is None,
        )
        self._width = asyncio.Semaphore(PARALLEL)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def by_key(self, entity: EntityMapping, keys: Collection[str]) -> Mapping[str, CmmsRecord]:
        """The records and tombstones, by key."""
        wanted = list(keys)
        found: dict[str, CmmsRecord] = {}
        for start in range(0, len(wanted), PAGE):
            body = {"claves": wanted[start : start + PAGE]}
            answer = await self._send("POST", f"{entity.cmms}/consulta/", body=body)
            for record in self._records(entity, answer):
                found[record.key] = record
        return found

    async def pages(self, entity: EntityMapping) -> AsyncIterator[Sequence[CmmsRecord]]:
        """Every existing record, page by page, in the order of the keys."""
        cursor: str | None = None
        while True:
            params = {"limite": str(PAGE)} | ({"cursor": cursor} if cursor else {})
            answer = await self._send("GET", f"{entity.cmms}/", params=params)
            yield self._records(entity, answer)
            cursor = answer.get("siguiente")
            if not cursor:
                return

    async def write(
        self, entity: EntityMapping, writes: Sequence[CmmsWrite], deadline: float
    ) -> Sequence[CmmsRecord | Failed]:
        """Create and update, each record under its own condition."""
        return await asyncio.gather(*(self._write(entity, write, deadline) for write in writes))

    async def _write(self, entity: EntityMapping, write: CmmsWrite, deadline: float) -> CmmsRecord | Failed:
        async with self._width:
            seconds = min(TIMEOUT, deadline - self._clock.monotonic())
            if seconds <= 0:
                return Failed(Unavailable("The time for writing to the CMMS was over before this record's turn."))
            fields: dict[str, Value] = dict(write.values)
            try:
                async with asyncio.timeout(seconds):
                    if write.etag is None:
                        body = {"campos": {entity.key.name: write.key, **fields}}
                        answer = await self._send("POST", f"{entity.cmms}/", body=body)
                    else:
                        answer = await self._send(
                            "PATCH",
                            f"{entity.cmms}/{quote(write.key, safe='')}/",
                            body={"campos": fields},
                            headers={"If-Match": write.etag},
                        )
                return self._record(entity, answer)
            except TimeoutError:
                return Failed(Unavailable("The CMMS did not answer in time."), unknown=True)
            except Unavailable as error:
                return Failed(error, unknown=not isinstance(error.__cause__, httpx.ConnectError))
            except SyncError as error:
                return Failed(error)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send one request and give the answer's JSON object.

        Raises:
            SyncError: What the failure means; an unusable answer is Unavailable.
        """
        content = None if body is None else json.dumps(body).encode()
        json_type = {} if body is None else {"Content-Type": "application/json"}
        try:
            response = await self._http.request(
                method, path, params=params, content=content, headers={**(headers or {}), **json_type}
            )
        except httpx.HTTPError as error:
            raise Unavailable(f"The CMMS gave no answer to {method} {path}: {type(error).__name__}.") from error
        try:
            answer = json.loads(response.text, parse_float=Decimal)
        except ValueError:
            answer = None
        if not response.is_success:
            raise _failure(response, answer)
        if not isinstance(answer, dict):
            raise Unavailable(
                f"The CMMS answered {response.status_code} to {method} {path} with something that is not a JSON"
                " object: check CMMS_BASE_URL.",
                status=response.status_code,
            )
        return answer

    def _records(self, entity: EntityMapping, answer: dict[str, Any]) -> list[CmmsRecord]:
        results = answer.get("resultados")
        if not isinstance(results, list):
            raise Unavailable(f"The CMMS's list of {entity.cmms} has no resultados: check CMMS_BASE_URL.")
        return [self._record(entity, record) for record in results]

    @staticmethod
    def _record(entity: EntityMapping, raw: dict[str, Any]) -> CmmsRecord:
        try:
            version = Version(parse_instant(raw["version"])) if raw.get("version") else None
            if raw.get("borrado"):
                return CmmsRecord(raw["clave"], "", {}, version=version, deleted=True)
            values: dict[str, Value] = {}
            errors: dict[str, BadValue] = {}
            for name, value in raw["campos"].items():
                rule = entity.fields.get(entity.names.get(name, ""))
                if rule is None:
                    continue
                try:
                    values[rule.name] = rule.from_cmms(value)
                except MappingError as error:
                    errors[rule.name] = BadValue(error, digest(value))
            return CmmsRecord(raw["clave"], raw["etag"], values, errors, version=version)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unavailable(f"A record of the CMMS's {entity.cmms} has an unknown form: {error}.") from error


def _failure(response: httpx.Response, answer: Any) -> SyncError:
    status = response.status_code
    where = f"{response.request.method} {response.request.url.path}"
    raw = answer.get("error") if isinstance(answer, dict) else None
    error = raw if isinstance(raw, dict) else {}
    text = str(error.get("mensaje") or "")[:300]
    code = str(error.get("codigo") or "") or None
    detail = f": {text}" if text else ""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(f"The CMMS asked us to slow down{detail}.", status=status, code=code)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return NotAuthorized(f"The CMMS refused our token for {where}. Check CMMS_TOKEN.", status=status, code=code)
    if status in {HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED}:
        return Conflict(f"{where}: the record changed, or exists already.", status=status, code=code)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unavailable(f"The CMMS answered {status} to {where}{detail}.", status=status, code=code)
    if status == HTTPStatus.NOT_FOUND:
        # Absence counts only from a list read: the record is read again, and a wrong address stays visible.
        return Conflict(f"{where}: not found; the record may have been deleted meanwhile.", status=status, code=code)
    field = error.get("campo")
    return RejectedByTarget(
        f"The CMMS refused {where}{detail}",
        field=field if isinstance(field, str) else None,
        status=status,
        code=code,
    )
