"""The console's pages of drift: the runs, their reports, and the brake."""

from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from ops.commands.status import last_run
from ops.console.page import Handlers
from shared.errors import SyncError

_REPORT_CSP: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'self'; sandbox allow-scripts"
)


class DriftPages(Handlers):
    """Handlers for what looked for drift, and what it found."""

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/drift", self.drift),
            Route("/drift/release", self.release, methods=["POST"]),
            Route("/drift/{name}", self.report),
            Route("/drift/{name}/page", self.report_page),
        ]

    async def drift(self, request: Request) -> Response:
        """The runs that looked for drift, their reports, and the brake."""
        view, _, _ = await self._watch.now()
        names, problem = None, ""
        try:
            names = await self._desk.reports()
        except SyncError as error:
            problem = error.message
        return self._pages.page(request, "drift.html", view=view, names=names, problem=problem, last_run=last_run(view))

    async def report(self, request: Request) -> Response:
        """A report, inside the console."""
        name = request.path_params["name"]
        try:
            known = name in (await self._desk.reports() or ())
        except SyncError as error:
            return self._pages.problem(request, error.message, 503)
        if not known:
            return self._pages.problem(request, f"There is no report {name}.", 404)
        return self._pages.page(request, "report.html", name=name)

    async def report_page(self, request: Request) -> Response:
        """The report itself: a page of its own, in a sandbox."""
        try:
            content = await self._desk.report(request.path_params["name"])
        except SyncError as error:
            return self._pages.problem(request, error.message, 503)
        if content is None:
            return self._pages.problem(request, "There is no such report.", 404)
        return HTMLResponse(content, headers={"Content-Security-Policy": _REPORT_CSP})

    async def release(self, request: Request) -> Response:
        """Let the repairs go that the brake holds."""
        who = (await self._pages.form(request)).one("who").strip()
        if not who:
            return self._pages.problem(request, "Who releases the brake? The name stands in the report.", 400)
        try:
            await self._desk.release_brake(who)
        except SyncError as error:
            return self._pages.problem(request, error.message, 503)
        await self._watch.now(fresh=True)
        return RedirectResponse("/drift", 303)
