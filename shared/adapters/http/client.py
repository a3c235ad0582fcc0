"""One HTTP service behind one gate: a time-out for the whole request, and every failure turned into one of ours."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final
from urllib.parse import urlencode

import httpx

from shared import telemetry
from shared.adapters.http.gate import Gate
from shared.adapters.http.verdict import Verdict, verdict
from shared.errors import SyncError, TransientError, Unavailable
from shared.flows.ports.engine import Clock

# httpx logs every address at INFO; ours hold business keys, and thousands of them.
logging.getLogger("httpx").setLevel(logging.WARNING)

SINGLE_TIMEOUT: Final = 30.0
"""Seconds for a request that reads, or writes one record."""

# Refusals that a proxy, a balancer or the TLS layer gives, and that pass.
_BETWEEN: Final = frozenset(
    {
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.MISDIRECTED_REQUEST,
        HTTPStatus.TOO_EARLY,
    }
)
_NOTHING: Final = httpx.ByteStream(b"")
_IDLE: Final = 1.5
"""Seconds for which an idle connection is used again: fewer than any server keeps one (gunicorn 2, uvicorn 5). A server
that closes in the moment of our next request gives no answer, which would pass for an outage."""
_LONGEST_WAIT: Final = timedelta(days=1)
# Nothing of the request had left when one of these was raised.
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class HttpService(ABC):
    """Keeps connections alive; follows no redirect, which could carry our token elsewhere, and keeps no cookie.

    A kept affinity cookie would pin all our requests to one web server and its limits:
    https://learn.microsoft.com/power-apps/developer/data-platform/send-parallel-requests
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        gate: Gate,
        clock: Clock,
        *,
        headers: Mapping[str, str],
        auth: httpx.Auth | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`name` is what messages call the service; `transport` replaces the network in tests."""
        self.name = name
        self.base_url = base_url
        self.gate = gate
        self.clock = clock
        self.requests = 0
        self._http = httpx.AsyncClient(
            base_url=base_url + "/",
            auth=auth,
            headers=headers,
            limits=httpx.Limits(max_connections=16, max_keepalive_connections=16, keepalive_expiry=_IDLE),
            transport=transport,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            trust_env=transport is None,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @abstractmethod
    def meaning(self, response: httpx.Response) -> SyncError | None:
        """What an unsuccessful answer means; None where it is an answer after all."""

    async def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = SINGLE_TIMEOUT,
        deadline: float | None = None,
    ) -> httpx.Response:
        """Send one request through the gate and give its answer, or raise what its failure means.

        Args:
            method: GET, POST, PATCH or DELETE.
            path: Relative to the root and percent-encoded, or an absolute link that the service gave.
            params: Query options of a relative path, encoded here.
            body: JSON, or whatever `headers` say.
            headers: Beside the service's own.
            seconds: The time-out for all of the request; the wait at the gate is not included.
            deadline: Monotonic seconds by which the answer must be there, the wait at the gate included.

        Raises:
            Unavailable: No usable answer; a write may have happened unless `sent` is False.
            SyncError: What `meaning` makes of the answer.
        """
        return (await self.timed(method, path, params, body, headers, seconds=seconds, deadline=deadline))[0]

    async def timed(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float = SINGLE_TIMEOUT,
        deadline: float | None = None,
    ) -> tuple[httpx.Response, float]:
        """As `send`, with the seconds that the service took."""
        own = {"Content-Type": "application/json"} if body is not None else {}
        try:
            # One address, because httpx would parse a path and its query three times: a millisecond for 500 keys.
            url = path if params is None else httpx.URL(f"{self.base_url}/{path}?{urlencode(params)}")
            request = self._http.build_request(method, url, content=body, headers={**own, **(headers or {})})
        except (httpx.InvalidURL, UnicodeError) as error:
            raise Unavailable(f"{self.name} gave a link that is no address: {error}.", sent=False) from error
        async with self.gate.enter():
            await self._permitted(deadline)
            if deadline is not None:
                seconds = min(seconds, deadline - self.clock.monotonic())
            if seconds <= 0:
                raise Unavailable(f"The time for writing to {self.name} was over before this turn.", sent=False)
            # Judged before the place is given up, so that what the answer closes is closed for the next one.
            return await self._perform(request, seconds)

    async def _permitted(self, deadline: float | None) -> None:  # noqa: B027  # most services tell no quota
        """Wait until the service permits another request, at most until the deadline (monotonic seconds)."""

    def _heard(self, response: httpx.Response, seconds: float) -> None:  # noqa: B027  # most services tell nothing
        """Learn from the headers of an answer that took so many seconds, before the answer is judged."""

    async def _perform(self, request: httpx.Request, seconds: float) -> tuple[httpx.Response, float]:
        started = self.clock.monotonic()
        response = await self._exchange(request, seconds)
        taken = self.clock.monotonic() - started
        self._heard(response, taken)
        if (failure := self._judge(response)) is not None:
            raise failure
        return response, taken

    async def _exchange(self, request: httpx.Request, seconds: float) -> httpx.Response:
        self.requests += 1
        request.extensions["timeout"] = httpx.Timeout(seconds).as_dict()
        what = f"{request.method} {request.url.path}"
        try:
            with telemetry.request(self.name, request.method, request.url.path) as answer:
                async with asyncio.timeout(seconds):
                    response = await self._http.send(request)
                # The stream, which is read to its end, and the answer hold each other: without this a page would stay
                # in memory until the garbage collector happens to come.
                response.stream = _NOTHING
                answer.status = str(response.status_code)
                return response
        except TimeoutError as error:
            self.gate.failed()
            raise Unavailable(f"{self.name} did not answer {what} within {seconds:.0f} s.") from error
        except (httpx.HTTPError, OSError) as error:
            self.gate.failed()
            raise Unavailable(
                f"{self.name} gave no answer to {what}: {type(error).__name__}.",
                sent=not isinstance(error, _NOT_SENT),
            ) from error

    def _judge(self, response: httpx.Response) -> SyncError | None:
        error = None if response.is_success else self.meaning(response)
        wait = error.retry_after if isinstance(error, TransientError) else None
        match verdict(response, error):
            case Verdict.ANSWERS:
                self.gate.succeeded()
            case Verdict.BUSY:
                self.gate.throttled(wait)
            case Verdict.DOWN:
                self.gate.failed(wait)
            case Verdict.UNTOLD:
                pass  # neither a reason to stop nor one to go on
        return error


def passing(status: int) -> bool:
    """Whether a status says nothing of the request itself: a redirect, a failing server, or what stands between."""
    return status < HTTPStatus.BAD_REQUEST or status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _BETWEEN


def retry_after(response: httpx.Response, now: datetime) -> timedelta | None:
    """The wait that the service asks for, in seconds or as an HTTP date; at most a day.

    A date is taken against the answer's own `Date`, so that the two clocks need not agree.
    """
    raw = response.headers.get("Retry-After", "").strip()
    if raw.isascii() and raw.isdigit():
        return min(timedelta(seconds=min(int(raw[:9]), 86_400)), _LONGEST_WAIT)
    until = _date(raw)
    if until is None:
        return None
    return min(max(until - (_date(response.headers.get("Date", "")) or now), timedelta()), _LONGEST_WAIT)


def _date(raw: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(raw)
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def usable_etag(raw: object) -> str:
    """An entity tag that can go into a header.

    Raises:
        ValueError: It is none, and a write without a condition must never happen.
    """
    if not isinstance(raw, str) or not raw or not raw.isascii() or not raw.isprintable():
        raise ValueError("no usable etag")
    return raw
