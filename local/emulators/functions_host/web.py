"""HTTP triggers: routes, keys, and the translation of requests and responses as the real host does it."""

import hmac
import logging
import re
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import parse_qsl

from aiohttp import web

from local.emulators.functions_host.dispatcher import Dispatcher, InvocationFailed
from local.emulators.functions_host.functions import Function, HttpTrigger
from local.emulators.functions_host.protos import RpcHttp, TypedData
from local.emulators.functions_host.routes import decode_path
from local.emulators.functions_host.settings import setting

MAX_BODY_BYTES = 100 * 1024 * 1024
_logger = logging.getLogger(__name__)
_TRACE_PARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_UNSAFE_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# The server frames the message itself.
_FRAMING = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"})


class Keys:
    """The keys that callers present in `x-functions-key` or `?code=`."""

    def __init__(self, *, function: str, master: str) -> None:
        self._function = function.encode()
        self._master = master.encode()

    def allow(self, request: web.Request, level: str) -> bool:
        """Whether the request may call what asks for `level`: anonymous, function or admin."""
        if level == "anonymous":
            return True
        given = (request.headers.get("x-functions-key") or request.query.get("code") or "").encode(errors="replace")
        return hmac.compare_digest(given, self._master) or (
            level == "function" and hmac.compare_digest(given, self._function)
        )


class HttpListener:
    """Serves the HTTP functions of an app."""

    def __init__(self, functions: list[Function], dispatcher: Dispatcher, keys: Keys) -> None:
        routes = [(f, f.trigger) for f in functions if isinstance(f.trigger, HttpTrigger)]
        self._routes = sorted(routes, key=lambda entry: entry[1].route.order)
        self._dispatcher = dispatcher
        self._keys = keys

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request.

        Azure answers 404, not 405, where a path matches but no function takes the method, HEAD included:
        https://github.com/Azure/azure-functions-host/issues/10098
        """
        path = decode_path(request.rel_url.raw_path)
        for function, trigger in self._routes:
            if request.method in trigger.methods and (parameters := trigger.route.match(path)) is not None:
                if not self._keys.allow(request, trigger.auth_level):
                    return _empty(401)
                return await self._invoke(function, request, dict(parameters))
        return _homepage() if path == "/" else _empty(404)

    async def _invoke(self, function: Function, request: web.Request, parameters: dict[str, str]) -> web.StreamResponse:
        headers = _headers(request)
        if headers is None:
            return _empty(400)
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return _empty(413)
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return _empty(413)
        except (web.RequestPayloadError, ConnectionError):  # malformed, or the caller has gone
            return _empty(400)
        if body and request.content_length is None:
            # ToRpcHttp of the real host reads a body only where ContentLength > 0.
            _logger.warning("A chunked request to %s loses its body, as in Azure: send Content-Length", function.name)
            body = b""
        http = RpcHttp(
            method=request.method,
            url=f"{request.scheme}://{request.host}{request.rel_url.raw_path_qs}",
            headers=headers,
            query=_query(request.rel_url.raw_query_string),
            params=parameters,
            body=TypedData(bytes=body) if body else TypedData(),
        )
        trace = _TRACE_PARENT.fullmatch(headers.get("traceparent", ""))
        try:
            result = await self._dispatcher.invoke(
                function,
                TypedData(http=http),
                reason=f"HTTP {request.method} {request.rel_url.raw_path}",
                trace_id=trace[1] if trace else None,
            )
            return _response(result)
        except InvocationFailed:
            return _empty(500)
        except ValueError as error:
            _logger.error("Function '%s' returned what HTTP cannot carry: %s", function.name, error)  # noqa: TRY400
            return _empty(500)


def _homepage() -> web.Response:
    if (setting("AzureWebJobsDisableHomepage") or "").lower() in {"true", "1"}:
        return _empty(204)
    text = "<!doctype html><title>Functions</title><p>The function app is up and running.</p>"
    return web.Response(text=text, content_type="text/html", headers={"Server": "Kestrel"})


def _empty(status: int) -> web.Response:
    return web.Response(status=status, headers={"Server": "Kestrel"})


def _headers(request: web.Request) -> dict[str, str] | None:
    """Lower-case names, repeated values joined by a comma; None where a value is not UTF-8."""
    merged: dict[str, str] = {}
    for raw_name, raw_value in request.raw_headers:
        try:
            name, value = raw_name.decode("ascii").lower(), raw_value.decode()
        except UnicodeDecodeError:
            return None
        merged[name] = f"{merged[name]},{value}" if name in merged else value
    return merged


def _query(raw: str) -> dict[str, str]:
    """Names regardless of case, repeated values joined by a comma, empty values dropped."""
    values: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for name, value in parse_qsl(raw, keep_blank_values=True, errors="replace"):
        values.setdefault(names.setdefault(name.casefold(), name), []).append(value)
    joined = {name: ",".join(several) for name, several in values.items()}
    return {name: value for name, value in joined.items() if value}


def _response(result: TypedData | None) -> web.Response:
    """The function's result as a response. Raises ValueError where it has no HTTP form."""
    if result is None or result.kind is None:
        return _empty(204)
    if result.kind != "http":
        body = result.value if isinstance(result.value, bytes) else str(result.value).encode()
        content_type = "application/json" if result.kind == "json" else "text/plain"
        return web.Response(body=body, headers={"Content-Type": f"{content_type}; charset=utf-8", "Server": "Kestrel"})
    http: RpcHttp = result.value
    status = int(http.status_code)
    if not 200 <= status <= 599:  # noqa: PLR2004 - the final statuses of HTTP
        raise ValueError(f"status {status}")
    response = _empty(status)
    for name, value in http.headers.items():
        if _UNSAFE_HEADER.search(f"{name}{value}"):
            raise ValueError(f"a control character in the header {name!r}")
        if name.lower() not in _FRAMING:
            response.headers[name] = value
    for cookie in http.cookies or ():
        _set_cookie(response, cookie)
    if http.body.value:
        response.body = http.body.value
    return response


def _set_cookie(response: web.Response, cookie: object) -> None:
    def value(name: str) -> object:
        return getattr(getattr(cookie, name), "value", None)

    expires = getattr(value("expires"), "seconds", None)
    age = value("max_age")
    response.set_cookie(
        str(cookie.name),  # type: ignore[attr-defined]
        str(cookie.value),  # type: ignore[attr-defined]
        domain=str(value("domain") or "") or None,
        path=str(value("path") or ""),
        expires=format_datetime(datetime.fromtimestamp(expires, UTC), usegmt=True) if expires else None,
        max_age=None if age is None else int(float(str(age))),
        secure=bool(value("secure")) or None,
        httponly=bool(value("http_only")) or None,
        samesite=cookie.same_site,  # type: ignore[attr-defined]
    )
