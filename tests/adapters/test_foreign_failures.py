"""Every failure of another's making becomes one of the error tree's, whatever was being asked."""

import json
import math
import ssl
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from shared.adapters.cmms.client import CmmsGateway
from shared.adapters.dataverse import DataverseGateway
from shared.adapters.dataverse.client import DataverseClient
from shared.adapters.dataverse.writes import DynamicsWrite
from shared.errors import (
    Conflict,
    MappingError,
    NotAuthorized,
    NotReady,
    PermanentError,
    RejectedByTarget,
    SyncError,
    TargetTransient,
    Throttled,
    Unavailable,
)
from shared.flows.ports.engine import Failed
from tests.adapters.virtual import LoopClock
from tests.adapters.worlds import ASSET, ROOT, StaticToken, intent_of, record_write

ROW_ID = "11111111-1111-1111-1111-111111111111"
type Answer = Callable[[httpx.Request], httpx.Response]

TRANSPORT_ERRORS: list[type[httpx.RequestError]] = [
    httpx.ConnectTimeout,
    httpx.ReadTimeout,
    httpx.WriteTimeout,
    httpx.PoolTimeout,
    httpx.ConnectError,
    httpx.ReadError,
    httpx.WriteError,
    httpx.CloseError,
    httpx.ProxyError,
    httpx.LocalProtocolError,
    httpx.RemoteProtocolError,
    httpx.UnsupportedProtocol,
    httpx.DecodingError,
    httpx.TooManyRedirects,
]
NEVER_SENT = {httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ConnectError, httpx.UnsupportedProtocol}
BODIES = {
    "json": b'{"error": {"code": "0x80040203", "message": "No.", "codigo": "no", "mensaje": "No."}}',
    "empty": b"",
    "html": b"<!DOCTYPE html><html><body>Gateway</body></html>",
    "other json": b'["error"]',
    "error of text": b'{"error": "No."}',
    "deep": b"[" * 100_000,
    "latin": "<p>Petición</p>".encode("latin-1"),
}
EVERY = range(400, 600)
SOME = (400, 404, 412, 429, 503)
GARBAGE = [
    b"",
    b"<html></html>",
    b"null",
    b"[]",
    b'"text"',
    b"17",
    b"{}",
    b'{"value": null, "resultados": null}',
    b'{"value": {}, "resultados": {}}',
    b'{"value": [null], "resultados": [null]}',
    b'{"value": [[]], "resultados": [[]]}',
    b'{"value": [{}], "resultados": [{}]}',
    b'{"value": [{"msdyn_customerassetid": "x"}], "resultados": [{"clave": "A", "campos": {}}]}',
    b'{"value": [{"@odata.etag": "W/\\"1\\""}], "resultados": [{"clave": "A", "etag": "", "campos": {}}]}',
    b'{"value": [{"@odata.etag": 5, "msdyn_customerassetid": 5}]}',
    b'{"resultados": [{"clave": 5, "etag": "e", "campos": {}}]}',
    b'{"value": [], "@odata.nextLink": "https://[", "resultados": [{"clave":"A","etag":"\\u00e9","campos":{}}]}',
    b'{"value": [{"x": 1e999999999999999999999}], "resultados": [{"x": 1e999999999999999999999}]}',
    b'{"value": [' + b"[" * 100_000,
    b'{"OrganizationId": 5, "resultados": [{"clave": "A", "etag": "e", "campos": [], "version": 3}]}',
]

ENDLESS = [
    b'{"value": [], "@odata.nextLink": 5, "resultados": [], "siguiente": 5}',
    b'{"value": [], "@odata.nextLink": "https://host:port/", "resultados": [], "siguiente": "again"}',
    b'{"value": [], "@odata.nextLink": "https://org/again", "resultados": [], "siguiente": "again"}',
]


class Side:
    """One adapter's reads and writes, on a service that answers as told."""

    def __init__(self, name: str, clock: LoopClock) -> None:
        self.name = name
        self.clock = clock
        self.answer: Answer = lambda _: httpx.Response(500)
        transport = httpx.MockTransport(self._answered)
        if name == "dynamics":
            self.gateway: Any = DataverseGateway(DataverseClient(ROOT, StaticToken("t"), clock, transport), clock)
        else:
            self.gateway = CmmsGateway("https://cmms.example", "t", clock, transport)

    def _answered(self, request: httpx.Request) -> httpx.Response:
        return self.answer(request)

    def active_key(self) -> None:
        """So that creates get as far as their own request."""
        if self.name == "dynamics":
            self.gateway._keys._active[ASSET.table] = math.inf

    async def read(self) -> Any:
        found = await self.gateway.by_key(ASSET, ["A", "B"])
        if any(isinstance(one, MappingError) for one in found.values()):
            raise Unavailable("a record of unusable form is its own failure, and here nothing else was answered")
        return found

    async def pages(self) -> Any:
        return [page async for page in self.gateway.pages(ASSET)]

    async def write(self, etag: str | None, count: int = 1) -> list[Any]:
        values = {"nombre": "x"}
        writes: list[Any] = [
            intent_of(ASSET, DynamicsWrite(f"{n}", None if etag is None else ROW_ID, etag, values))
            if self.name == "dynamics"
            else record_write(f"{n}", etag, values)
            for n in range(count)
        ]
        return list(await self.gateway.write(ASSET, writes, self.clock.monotonic() + 100))


@pytest.fixture(params=["dynamics", "cmms"])
def side(request: pytest.FixtureRequest, clock: LoopClock) -> Side:
    side = Side(request.param, clock)
    side.active_key()
    return side


def raising(error: Exception) -> Answer:
    def answer(_: httpx.Request) -> httpx.Response:
        raise error

    return answer


@pytest.mark.parametrize("kind", TRANSPORT_ERRORS)
async def test_a_broken_transport_is_unavailable_and_says_whether_the_write_had_left(
    side: Side, kind: type[httpx.RequestError]
) -> None:
    side.answer = raising(kind("no luck"))
    with pytest.raises(Unavailable) as caught:
        await side.read()
    assert caught.value.sent is (kind not in NEVER_SENT)
    assert kind.__name__ in caught.value.message
    for etag in (None, 'W/"1"'):
        (result,) = await side.write(etag)
        assert isinstance(result, Failed)
        assert isinstance(result.error, Unavailable)
        assert result.unknown is (kind not in NEVER_SENT)


def test_every_failure_that_httpx_can_raise_while_sending_is_among_those_tested() -> None:
    def leaves(kind: type[Exception]) -> set[type[Exception]]:
        below = kind.__subclasses__()
        return {leaf for one in below for leaf in leaves(one)} if below else {kind}

    assert leaves(httpx.RequestError) == set(TRANSPORT_ERRORS)


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), ssl.SSLError("bad record"), TimeoutError()])
async def test_a_failure_of_the_machine_is_unavailable_too(side: Side, error: Exception) -> None:
    side.answer = raising(error)
    with pytest.raises(Unavailable):
        await side.read()


def expected_of_a_read(status: int) -> type[SyncError]:
    if status == 429:
        return Throttled
    if status in {401, 403}:
        return NotAuthorized
    return Unavailable if status >= 500 or status in {407, 408, 421, 425} else NotReady


@pytest.mark.parametrize("body", BODIES)
async def test_every_status_of_a_read_is_a_failure_of_the_whole_side(side: Side, body: str) -> None:
    for status in EVERY if body in {"json", "empty", "html"} else SOME:
        headers = {"Retry-After": "0", "x-ms-service-request-id": "request-7"}
        side.answer = lambda _, status=status, headers=headers: httpx.Response(  # type: ignore[misc]  # defaults bind
            status, content=BODIES[body], headers=headers
        )
        fresh(side)
        with pytest.raises(TargetTransient) as caught:
            await side.read()
        error = caught.value
        assert type(error) is expected_of_a_read(status), status
        assert error.status == status
        assert (error.code or "") == ({"dynamics": "0x80040203", "cmms": "no"}[side.name] if body == "json" else "")
        if side.name == "dynamics":
            assert error.request_id == "request-7"
        assert len(error.message) < 600


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("etag", [None, 'W/"1"'])
async def test_every_status_of_a_write_has_its_branch(side: Side, body: str, etag: str | None) -> None:
    for status in EVERY if body in {"json", "empty", "html"} else SOME:
        side.answer = lambda request, status=status: answer_to_write(side, request, status, BODIES[body])  # type: ignore[misc]
        fresh(side)
        (result,) = await side.write(etag)
        assert isinstance(result, Failed), status
        coded = side.name == "dynamics" and body == "json"
        expected = RejectedByTarget if coded and status != 429 else expected_of_a_write(side.name, status, etag)
        assert isinstance(result.error, expected), (status, result.error)
        assert result.error.status == status
        assert result.unknown is isinstance(result.error, Unavailable)


def expected_of_a_write(name: str, status: int, etag: str | None) -> type[SyncError]:
    if status == 404:
        return Conflict if name == "cmms" and etag is not None else NotReady
    if status in {405, 410}:
        return NotReady
    if status in {409, 412}:
        return Conflict
    return RejectedByTarget if expected_of_a_read(status) is NotReady else expected_of_a_read(status)


def answer_to_write(side: Side, request: httpx.Request, status: int, body: bytes) -> httpx.Response:
    if side.name == "cmms":
        return httpx.Response(status, content=body)
    part = f"HTTP/1.1 {status} Some Reason\r\nContent-Type: application/json\r\n\r\n".encode() + body
    content = b"--b\r\nContent-Type: application/http\r\n\r\n" + part + b"\r\n--b--\r\n"
    return httpx.Response(200, headers={"Content-Type": "multipart/mixed; boundary=b"}, content=content)


@pytest.mark.parametrize("status", [400, 404, 409, 412, 413, 422, 500])
async def test_a_batch_refused_as_a_whole_blames_no_row(clock: LoopClock, status: int) -> None:
    side = Side("dynamics", clock)
    side.active_key()
    side.answer = lambda _: httpx.Response(status, content=BODIES["json"])
    for etag in (None, 'W/"1"'):
        results = await side.write(etag, 10)
        assert len(results) == 10
        assert {isinstance(result.error, TargetTransient) for result in results} == {True}
        assert not any(isinstance(result.error, PermanentError) for result in results)


@pytest.mark.parametrize("body", GARBAGE, ids=range(len(GARBAGE)))
async def test_a_success_of_the_wrong_form_is_unavailable(side: Side, body: bytes) -> None:
    side.answer = lambda _: httpx.Response(200, content=body)
    for operation in (side.read, side.pages):
        with pytest.raises(Unavailable):
            await operation()
    for etag in (None, 'W/"1"'):
        for count in (1, 10):
            results = await side.write(etag, count)
            assert {(type(result.error), result.unknown) for result in results} == {(Unavailable, True)}


@pytest.mark.parametrize("body", ENDLESS)
async def test_a_list_that_goes_on_at_nothing_or_in_a_circle_ends(side: Side, body: bytes) -> None:
    side.answer = lambda _: httpx.Response(200, content=body)
    with pytest.raises(Unavailable):
        await side.pages()


@pytest.mark.parametrize("body", GARBAGE, ids=range(len(GARBAGE)))
async def test_a_whoami_of_the_wrong_form_is_unavailable(clock: LoopClock, body: bytes) -> None:
    side = Side("dynamics", clock)
    side.answer = lambda _: httpx.Response(200, content=body)
    with pytest.raises(Unavailable):
        await side.gateway.organization_id()


@pytest.mark.parametrize("part", [*GARBAGE, json.dumps({"msdyn_customerassetid": ROW_ID}).encode()])
@pytest.mark.parametrize("status", [200, 204, 201, 302, 999])
async def test_a_part_of_the_wrong_form_is_that_rows_unknown(clock: LoopClock, part: bytes, status: int) -> None:
    side = Side("dynamics", clock)
    side.active_key()
    side.answer = lambda request: answer_to_write(side, request, status, part)
    for etag, count in ((None, 1), (None, 10), ('W/"1"', 2)):
        results = await side.write(etag, count)
        assert {(type(result.error), result.unknown) for result in results} == {(Unavailable, True)}


@pytest.mark.parametrize(
    "content",
    [b"", b"--b", b"--b--", b"--b\r\n\r\n\r\n--b--", b"--b\r\nx\r\n\r\nHTTP/1.1\r\n\r\n--b--", b"no boundary at all"],
)
async def test_a_multipart_answer_without_parts_is_unknown(clock: LoopClock, content: bytes) -> None:
    side = Side("dynamics", clock)
    side.active_key()
    side.answer = lambda _: httpx.Response(
        200, headers={"Content-Type": "multipart/mixed; boundary=b"}, content=content
    )
    for etag, count in ((None, 1), (None, 10), ('W/"1"', 2)):
        results = await side.write(etag, count)
        assert {(type(result.error), result.unknown) for result in results} == {(Unavailable, True)}


@pytest.mark.parametrize("status", [100, 300, 301, 302, 303, 304, 307, 308])
async def test_a_redirect_or_an_odd_status_is_unavailable(side: Side, status: int) -> None:
    side.answer = lambda _: httpx.Response(status, headers={"Location": "https://elsewhere.example/"})
    with pytest.raises(Unavailable) as caught:
        await side.read()
    assert caught.value.status == status


@pytest.mark.parametrize("status", [429, 503])
async def test_the_wait_that_a_service_asks_for_is_known(side: Side, status: int) -> None:
    side.answer = lambda _: httpx.Response(status, headers={"Retry-After": "30"})
    with pytest.raises(TargetTransient) as caught:
        await side.read()
    assert caught.value.retry_after is not None
    assert caught.value.retry_after.total_seconds() == 30


def fresh(side: Side) -> None:
    """Forget what earlier answers closed: here it is only asked what an answer means."""
    service = side.gateway._client if side.name == "dynamics" else side.gateway._service
    service.gate.__init__(side.clock, "the service")
