"""The HTTP edge of the Web API: from an ASGI request to an operation, and back."""

import asyncio
from urllib.parse import parse_qs
from uuid import UUID

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from local.emulators.dataverse.changes import Caller
from local.emulators.dataverse.errors import DataverseError, Refusal
from local.emulators.dataverse.faults import Effect, Fault
from local.emulators.dataverse.organization import Dataverse
from local.emulators.dataverse.users import SystemUser
from local.emulators.dataverse.wire.auth import Authenticator, NotAuthenticatedError
from local.emulators.dataverse.wire.connections import Connections
from local.emulators.dataverse.wire.messages import ODataRequest, ODataResponse
from local.emulators.dataverse.wire.pace import Pace
from local.emulators.dataverse.wire.service import ODataService, kind_of
from local.emulators.dataverse.wire.statistics import Statistics

_URL_LIMIT = 32 * 1024
_PREFIX = b"/api/data/"
_AFFINITY = "ARRAffinity"
_IMPERSONATION = ("CallerObjectId", "MSCRMCallerID")
# What the statistics show for a request that got no answer.
_NO_ANSWER = 0


class WebApi:
    """The ASGI application behind `/api/data/v9.x/`."""

    def __init__(
        self, dataverse: Dataverse, authenticator: Authenticator, statistics: Statistics, connections: Connections
    ) -> None:
        self._dataverse = dataverse
        self._authenticator = authenticator
        self._statistics = statistics
        self._connections = connections
        self._service = ODataService(dataverse, statistics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, or let it meet the fault that is due."""
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        raw_path: bytes = scope.get("raw_path") or request.url.path.encode()
        version, _, path = raw_path.removeprefix(_PREFIX).decode("ascii", "replace").partition("/")
        kind = kind_of(request.method, path)
        self._statistics.arrived(self._dataverse.clock())
        fault = self._dataverse.faults.strike(request.method, f"{path}?{request.url.query}", kind)
        response = await self._faulty(fault, request, version, path, body)
        self._statistics.request(kind, response.status)
        match fault.effect if fault else None:
            case Effect.DROPPED | Effect.LOST_ANSWER:
                await self._connections.close(scope, receive)
            case Effect.RESET:
                await self._connections.reset(scope, receive)
            case Effect.TRUNCATED:
                await self._connections.truncate(response, scope, receive, send)
            case _:
                await _send(response, self._dataverse.new_id(), self._dataverse.dop_hint, send)

    async def _faulty(
        self, fault: Fault | None, request: Request, version: str, path: str, body: bytes
    ) -> ODataResponse:
        match fault.effect if fault else None:
            case Effect.STATUS | Effect.HTML if fault is not None:
                return _injected(fault)
            case Effect.DROPPED | Effect.RESET:
                return ODataResponse(_NO_ANSWER)
        if fault is not None and fault.before:
            await asyncio.sleep(fault.seconds)
        response = await self._answer(request, version, path, body)
        if fault is not None and not fault.before:
            await asyncio.sleep(fault.seconds)
        return response

    async def _answer(self, request: Request, version: str, path: str, body: bytes) -> ODataResponse:
        if len(request.url.path) + len(request.url.query) > _URL_LIMIT:
            page = b"<html><head><title>Request URL Too Long</title></head><body>HTTP Error 414.</body></html>"
            return ODataResponse(414, {"Content-Type": "text/html"}, page)
        if _AFFINITY in request.cookies:
            self._statistics.kept_cookies += 1
        try:
            user = self._authenticator.user_of(request.headers.get("authorization"))
            started = self._dataverse.clock().timestamp()
            remaining = self._dataverse.protection.enter(user.id, started)
        except NotAuthenticatedError as error:
            return error.response(self._authenticator.audiences[0])
        except DataverseError as error:
            return ODataResponse.refused(error)
        try:
            if name := next((name for name in _IMPERSONATION if name in request.headers), None):
                return ODataResponse.refused(Refusal.NOT_SUPPORTED(what=f"Impersonation by the header {name}"))
            operation = self._operation(request, user, version, path, body)
            response = await self._service.handle(operation)
        finally:
            self._dataverse.protection.leave(user.id, started, self._dataverse.clock().timestamp())
        response.headers |= remaining
        return response

    def _operation(self, request: Request, user: SystemUser, version: str, path: str, body: bytes) -> ODataRequest:
        headers = {name.lower(): value for name, value in request.headers.items()}
        headers["prefer"] = ",".join(request.headers.getlist("prefer"))
        return ODataRequest(
            method=request.method,
            path=path,
            query=request.url.query,
            headers=headers,
            body=body,
            root=f"{request.url.scheme}://{request.url.netloc}/api/data/{version}",
            caller=_caller(user, request, self._dataverse.new_id()),
            pace=Pace(),
        )


def _injected(fault: Fault) -> ODataResponse:
    headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
    if fault.effect is Effect.HTML:
        page = f"<!DOCTYPE html><html><body><h2>{fault.status}</h2><p>{fault.message}</p></body></html>"
        return ODataResponse(fault.status, headers | {"Content-Type": "text/html"}, page.encode())
    error = {"error": {"code": fault.code, "message": fault.message}}
    return ODataResponse.json(error, status=fault.status, headers=headers)


def _caller(user: SystemUser, request: Request, correlation_id: UUID) -> Caller:
    bypass = {part.strip().lower() for part in request.headers.get("mscrm.bypassbusinesslogicexecution", "").split(",")}
    tags = parse_qs(request.url.query).get("tag")
    return Caller(
        user=user,
        correlation_id=correlation_id,
        tag=tags[0] if tags else None,
        skip_async="customasync" in bypass,
        numbers_as_text="ieee754compatible=true" in request.headers.get("content-type", "").replace(" ", "").lower(),
    )


async def _send(response: ODataResponse, request_id: UUID, dop_hint: int | None, send: Send) -> None:
    headers = {
        **response.headers,
        "REQ_ID": str(request_id),
        "x-ms-service-request-id": str(request_id),
        "Set-Cookie": f"{_AFFINITY}={request_id.hex}; path=/; HttpOnly",
        "Cache-Control": "no-cache",
    }
    if dop_hint is not None:
        headers["x-ms-dop-hint"] = str(dop_hint)
    if response.status not in {204, 304}:
        headers["Content-Length"] = str(len(response.body))
    encoded = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": encoded})
    await send({"type": "http.response.body", "body": response.body})
