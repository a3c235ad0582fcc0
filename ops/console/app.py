"""The console: an ASGI application over a desk, for one operator on this machine."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ops.commands.status import last_run
from ops.console import chart
from ops.console.desk import Desk
from ops.console.drift import DriftPages
from ops.console.faults import FaultPages
from ops.console.guard import Guard
from ops.console.page import HERE, Pages
from ops.console.parked import ParkedPages
from ops.console.record import RecordPages
from ops.console.watch import Watch
from ops.first_sync.words import NAMES, chosen, told
from shared.errors import SyncError

_RECENT: Final = 25


class Console:
    """Every page: what is seen at a glance stands here, the rest beside it, a module for each subject."""

    def __init__(self, desk: Desk, token: str) -> None:
        """`token` is this run's secret."""
        self._desk = desk
        self._watch = Watch(desk)
        self._pages = Pages(desk, token)

    def routes(self) -> list[Route | Mount]:
        """Every address of the console."""
        desk, watch, pages = self._desk, self._watch, self._pages
        return [
            Route("/", self.overview),
            Route("/events", self.events),
            *ParkedPages(desk, watch, pages).routes(),
            *RecordPages(desk, watch, pages).routes(),
            *DriftPages(desk, watch, pages).routes(),
            Route("/first-sync", self.first_sync),
            *FaultPages(desk, watch, pages).routes(),
            Route("/favicon.ico", lambda _request: FileResponse(HERE / "static" / "icon.svg")),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ]

    async def overview(self, request: Request) -> Response:
        """Everything at a glance."""
        view, processed, problem = await self._watch.now()
        hour = None if processed is None else chart.hour(processed, view.at)
        recent = list(reversed(processed or ()))[:_RECENT]
        return self._pages.page(
            request, "overview.html", view=view, hour=hour, recent=recent, problem=problem, last_run=last_run(view)
        )

    async def first_sync(self, request: Request) -> Response:
        """The last plan of a first sync, and how far its run has come."""
        view, _, _ = await self._watch.now()
        try:
            plan = await self._desk.first_sync_plan()
        except SyncError as error:
            return self._pages.problem(request, error.message, 503)
        choices = [] if plan is None else list(chosen(plan.choices))
        sentence = "" if view.first_sync is None else told(view.first_sync, view.at)
        return self._pages.page(
            request, "first_sync.html", view=view, plan=plan, choices=choices, sentence=sentence, names=NAMES
        )

    async def events(self, request: Request) -> Response:
        """Tell an open page each time that something changed (server-sent events)."""

        async def stream() -> AsyncIterator[str]:
            yield "retry: 2000\n\n"
            async for version in self._watch.changes():
                if await request.is_disconnected():
                    return
                yield f"data: {version}\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    async def refused(self, request: Request, error: Exception) -> Response:
        """A page for what Starlette itself refuses, such as an address that does not exist."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        text = error.detail if isinstance(error, HTTPException) else "An unexpected error: see the console's terminal."
        return self._pages.problem(request, "There is no such page." if status == 404 else text, status)  # noqa: PLR2004  # not found


def create_app(desk: Desk, *, token: str, port: int, close: Callable[[], Awaitable[None]] | None = None) -> Starlette:
    """The console as an ASGI application.

    Args:
        desk: What the pages show and do.
        token: This run's secret, by which the browser signs in.
        port: Where it listens on 127.0.0.1: any other Host header is refused.
        close: Called when the server stops.

    Returns:
        The application.
    """
    console = Console(desk, token)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        if close is not None:
            await close()

    return Starlette(
        routes=console.routes(),
        middleware=[Middleware(Guard, token=token, port=port)],
        exception_handlers={HTTPException: console.refused},
        lifespan=lifespan,
    )
