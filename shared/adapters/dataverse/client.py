"""One request to the Web API: headers, time-outs, and every failure turned into one of ours."""

import asyncio
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import httpx

from shared.adapters.dataverse.gate import Gate
from shared.adapters.dataverse.wire import loads
from shared.errors import (
    Conflict,
    NotAuthorized,
    RecordClosed,
    RejectedByTarget,
    SyncError,
    Throttled,
    Unavailable,
)
from shared.flows.ports import Clock

# httpx logs every address at INFO; ours hold business keys, and thousands of them.
logging.getLogger("httpx").setLevel(logging.WARNING)

SINGLE_TIMEOUT: Final = 30.0
_HEADERS: Final = {
    "Accept": "application/json",
    "OData-MaxVersion": "4.0",
    "OData-Version": "4.0",
}
# 412 means "changed since", and also "already exists": both are lost races, and both are read again.
_ALREADY_EXISTS: Final = frozenset({"0x80060892", "0x80040237", "0x80040333"})
# Dataverse names the column at fault only in prose, between quotes or after one of these words.
_QUOTED: Final = re.compile(r"'([A-Za-z][A-Za-z0-9_]*)'|\b(?:attribute|property|column|field)\s+\"?([a-z][a-z0-9_]+)")


class DataverseClient:
    """A keep-alive client for one organization. Redirects and cookies are not followed.

    A kept affinity cookie would pin all our requests to one web server and its limits:
    https://learn.microsoft.com/power-apps/developer/data-platform/send-parallel-requests
    """

    def __init__(
        self, base_url: str, auth: httpx.Auth, clock: Clock, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`base_url` is the Web API's root; `transport` replaces the network in tests."""
        self.base_url = base_url
        self.gate = Gate(clock, "Dynamics")
        self._http = httpx.AsyncClient(
            base_url=base_url + "/",
            auth=auth,
            headers=_HEADERS,
            timeout=httpx.Timeout(SINGLE_TIMEOUT),
            limits=httpx.Limits(max_connections=16, max_keepalive_connections=16),
            transport=transport,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            trust_env=transport is None,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = SINGLE_TIMEOUT,
    ) -> httpx.Response:
        """Send one request through the gate and give its answer, or raise what its failure means.

        Args:
            method: GET, POST, PATCH or DELETE.
            path: Relative to the root, or an absolute link that the service gave.
            params: Query options, encoded here.
            body: JSON, or whatever `headers` say.
            headers: Beside the OData headers.
            seconds: The time-out for all of the request, the wait at the gate not included.

        Raises:
            Unavailable: No usable answer; a write may have happened unless `sent` is False.
            SyncError: What `failure` makes of the answer.
        """
        own = {"Content-Type": "application/json"} if body is not None else {}
        request = self._http.build_request(
            method, path, params=params, content=body, headers={**own, **(headers or {})}
        )
        request.extensions["timeout"] = httpx.Timeout(seconds).as_dict()
        async with self.gate.enter():
            try:
                async with asyncio.timeout(seconds):
                    response = await self._http.send(request)
            except TimeoutError as error:
                self.gate.failed()
                raise Unavailable(
                    f"Dynamics did not answer {method} {request.url.path} within {seconds:.0f} s."
                ) from error
            except httpx.HTTPError as error:
                self.gate.failed()
                raise Unavailable(
                    f"Dynamics gave no answer to {method} {request.url.path}: {type(error).__name__}.",
                    sent=not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)),
                ) from error
        return self._judge(response)

    def _judge(self, response: httpx.Response) -> httpx.Response:
        hint = response.headers.get("x-ms-dop-hint", "")
        if hint.isascii() and hint.isdigit():
            self.gate.hint(int(hint))
        if response.is_success:
            self.gate.succeeded()
            return response
        error = failure(response)
        if isinstance(error, Throttled):
            self.gate.throttled(error.retry_after)
        elif isinstance(error, Unavailable):
            self.gate.failed()
        else:
            self.gate.succeeded()
        raise error


def json_of(response: httpx.Response) -> Any:
    """The answer's JSON.

    Raises:
        Unavailable: A success that is not JSON: a proxy's or a gateway's page.
    """
    try:
        return loads(response.text)
    except ValueError as error:
        raise Unavailable(
            f"Dynamics answered {response.status_code} to {response.request.url.path} with something that is not"
            " JSON: a proxy may stand between.",
            status=response.status_code,
        ) from error


def failure(response: httpx.Response) -> SyncError:
    """What an unsuccessful answer means. The status decides first: the body may be anything."""
    status = response.status_code
    code, text = _service_error(response)
    where = f"{response.request.method} {response.request.url.path}"
    request_id = response.headers.get("x-ms-service-request-id") or response.headers.get("REQ_ID")
    detail = f" ({code}: {text})" if code or text else ""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(
            f"Dynamics asked us to slow down{detail}.",
            retry_after=retry_after(response),
            status=status,
            code=code,
            request_id=request_id,
        )
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return NotAuthorized(
            f"Dynamics refused our identity for {where}{detail}. Check the application user and its security role.",
            status=status,
            code=code,
            request_id=request_id,
        )
    if status == HTTPStatus.PRECONDITION_FAILED:
        what = "a row with this key exists already" if code in _ALREADY_EXISTS else "the row changed meanwhile"
        return Conflict(f"{where}: {what}.", status=status, code=code, request_id=request_id)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        return Unavailable(
            f"Dynamics answered {status} to {where}{detail}.",
            retry_after=retry_after(response),
            status=status,
            code=code,
            request_id=request_id,
        )
    kind = RecordClosed if "not in a valid state" in text.lower() or "not active" in text.lower() else RejectedByTarget
    return kind(
        f"Dynamics refused {where}{detail}.",
        status=status,
        code=code,
        request_id=request_id,
        field=_column(text),
    )


def retry_after(response: httpx.Response) -> timedelta | None:
    """The wait that the service asks for: seconds or an HTTP date."""
    raw = response.headers.get("Retry-After", "").strip()
    if raw.isascii() and raw.isdigit():
        return timedelta(seconds=min(int(raw), 86_400))
    try:
        wait = parsedate_to_datetime(raw) - datetime.now(UTC)
    except (ValueError, TypeError):
        return None
    return max(wait, timedelta())


def _service_error(response: httpx.Response) -> tuple[str, str]:
    try:
        error = loads(response.text)["error"]
        return str(error.get("code") or ""), " ".join(str(error.get("message") or "").split())[:500]
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", ""


def _column(text: str) -> str | None:
    found = _QUOTED.search(text)
    return (found[1] or found[2]) if found else None
