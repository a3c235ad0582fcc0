"""The HTTP edge of the Web API: from an ASGI request to an operation, and back."""

from urllib.parse import parse_qs
from uuid import UUID

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from local.dataverse.changes import Caller
from local.dataverse.errors import DataverseError
from local.dataverse.organization import Dataverse
from local.dataverse.users import SystemUser
from local.dataverse.wire.auth import Authenticator, NotAuthenticatedError
from local.dataverse.wire.messages import ODataRequest, ODataResponse
from local.dataverse.wire.service import ODataService, kind_of
from local.dataverse.wire.statistics import Statistics

_URL_LIMIT = 32 * 1024
_PREFIX = b"/api/data/"
_AFFINITY = "ARRAffinity"


class WebApi:
    """The ASGI application behind `/api/data/v9.x/`."""

    def __init__(self, dataverse: Dataverse, authenticator: Authenticator, statistics: Statistics) -> None:
        self._dataverse = dataverse
        self._authenticator = authenticator
        self._statistics = statistics
        self._service = ODataService(dataverse)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        raw_path: bytes = scope.get("raw_path") or request.url.path.encode()
        version, _, path = raw_path.removeprefix(_PREFIX).decode("ascii", "replace").partition("/")
        kind = kind_of(request.method, path)
        response = await self._answer(request, version, path, kind, body)
        self._statistics.request(kind, response.status)
        await _send(response, self._dataverse.new_id(), send)

    async def _answer(
        self, request: Request, version: str, path: str, kind: str, body: bytes
    ) -> ODataResponse:
        if len(request.url.path) + len(request.url.query) > _URL_LIMIT:
            page = (
                b"<html><head><title>Request URL Too Long</title></head><body>HTTP Error 414.</body></html>"
            )
            return ODataResponse(414, {"Content-Type": "text/html"}, page)
        if _AFFINITY in request.cookies:
            self._statistics.kept_cookies += 1
        try:
            user = self._authenticator.user_of(request.headers.get("authorization"))
        except NotAuthenticatedError as error:
            return error.response(self._authenticator.audiences[0])
        except DataverseError as error:
            return ODataResponse.refused(error)
        headers = {name.lower(): value for name, value in request.headers.items()}
        headers["prefer"] = ",".join(request.headers.getlist("prefer"))
        operation = ODataRequest(
            request.method,
            path,
            request.url.query,
            headers,
            body,
            f"{request.url.scheme}://{request.url.netloc}/api/data/{version}",
            _caller(user, request, self._dataverse.new_id()),
        )
        response = self._service.handle(operation)
        self._statistics.operation(kind, response.rows)
        return response


def _caller(user: SystemUser, request: Request, correlation_id: UUID) -> Caller:
    bypass = {
        part.strip().lower()
        for part in request.headers.get("mscrm.bypassbusinesslogicexecution", "").split(",")
    }
    tags = parse_qs(request.url.query).get("tag")
    return Caller(
        user=user,
        correlation_id=correlation_id,
        tag=tags[0] if tags else None,
        skip_async="customasync" in bypass,
        numbers_as_text="ieee754compatible=true"
        in request.headers.get("content-type", "").replace(" ", "").lower(),
    )


async def _send(response: ODataResponse, request_id: UUID, send: Send) -> None:
    headers = {
        **response.headers,
        "REQ_ID": str(request_id),
        "x-ms-service-request-id": str(request_id),
        "Set-Cookie": f"{_AFFINITY}={request_id.hex}; path=/; HttpOnly",
        "Cache-Control": "no-cache",
    }
    if response.status not in {204, 304}:
        headers["Content-Length"] = str(len(response.body))
    encoded = [
        (name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": encoded})
    await send({"type": "http.response.body", "body": response.body})
