"""A man in the middle between the SDK and Azurite: counts what is asked and plays faults."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import ClientSession, web


@dataclass
class Fault:
    """What happens to one request: an answer instead of the service's, or a connection that is killed.

    `unseen` kills it before the service has seen the request, else after it has done its work.
    """

    status: int = 0
    unseen: bool = False
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Proxy:
    """`faults` are played in order on the requests for which `when` holds; `asked` lists method and path.

    `before` is awaited before a request goes on.
    """

    url: str = ""
    asked: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    when: Callable[[web.Request], bool] = lambda _: True
    before: Callable[[web.Request], Awaitable[None]] | None = None


def service_error(status: HTTPStatus, code: str) -> Fault:
    """An answer as the table service gives it."""
    body = f'{{"odata.error": {{"code": "{code}", "message": {{"lang": "en-US", "value": "SECRET-ECHO"}}}}}}'
    return Fault(status, body=body, headers={"Content-Type": "application/json", "x-ms-request-id": "req-1"})


@asynccontextmanager
async def proxy(target: str) -> AsyncIterator[Proxy]:
    """Listen on a free port in front of a table's address."""
    base, _, path = target.removeprefix("http://").partition("/")
    state = Proxy()

    async def handle(request: web.Request) -> web.StreamResponse:
        state.asked.append(f"{request.method} {request.path}")
        if state.before is not None:
            await state.before(request)
        fault = state.faults.pop(0) if state.faults and state.when(request) else None
        if fault is not None and fault.status:
            return web.Response(status=fault.status, text=fault.body, headers=fault.headers)
        if fault is not None and fault.unseen:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        headers = {name: value for name, value in request.headers.items() if name not in {"Host", "Connection"}}
        async with session.request(
            request.method, f"http://{base}{request.raw_path}", data=await request.read() or None, headers=headers
        ) as answer:
            body = await answer.read()
        if fault is not None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        kept = {
            k: v for k, v in answer.headers.items() if k not in {"Transfer-Encoding", "Connection", "Content-Length"}
        }
        return web.Response(status=answer.status, body=body, headers=kept)

    app = web.Application(client_max_size=8 * 2**20)
    app.router.add_route("*", "/{rest:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    async with ClientSession(
        auto_decompress=False, skip_auto_headers=["Accept-Encoding", "Content-Type", "User-Agent"]
    ) as session:
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            state.url = f"http://127.0.0.1:{port}/{path}"
            yield state
        finally:
            await runner.cleanup()
