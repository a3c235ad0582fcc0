"""The console's pages: an ASGI application over a desk, for one operator on this machine."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ops.commands.parked import pretty
from ops.commands.status import last_run
from ops.console import chart
from ops.console.choice import PAGE, Choice
from ops.console.desk import Desk
from ops.console.guard import Guard, form_token
from ops.console.runbook import advice
from ops.console.timeline import timeline
from ops.console.watch import Watch
from ops.first_sync.words import NAMES, chosen, told
from ops.output import age, restamp, stamp
from ops.session import UsageError
from shared.domain.messages.events import parse_event
from shared.domain.words import plural, word_for
from shared.errors import InvalidMessage, SyncError
from shared.flows.operate.show import Story

HERE: Final = Path(__file__).parent
_LARGEST_FORM: Final = 2 * 1024 * 1024
_RECENT: Final = 25
_REPORT_CSP: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'self'; sandbox allow-scripts"
)
FAULTS: Final[dict[str, tuple[str, dict[str, object]]]] = {
    "unavailable": ("every request is answered 503", {"effect": "status", "times": None}),
    "throttled": (
        "every request is answered 429, with a wait of 5 s",
        {"effect": "status", "status": 429, "code": "0x80072322", "retry_after": "5", "times": None},
    ),
    "dropped": ("every connection is closed without an answer", {"effect": "dropped", "times": None}),
    "lost": ("each write is done, and its answer lost", {"effect": "lost_answer", "kind": "write", "times": None}),
    "slow": ("every answer takes 3 s", {"effect": "slow", "seconds": 3.0, "times": None}),
}
"""Faults that can be switched on, on the local stack."""


@dataclass(frozen=True)
class Form:
    """What a form sent: every value of each name."""

    values: dict[str, list[str]]

    def one(self, name: str) -> str:
        """The first value of a name, or an empty text."""
        return self.values.get(name, [""])[0]


class Console:
    """The handlers. Each page is whole by itself; the script only asks for it again when something changed."""

    def __init__(self, desk: Desk, token: str) -> None:
        """`token` is this run's secret."""
        self._desk = desk
        self._watch = Watch(desk)
        self._form_token = form_token(token)
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals |= {
            "stamp": stamp,
            "restamp": restamp,
            "age": age,
            "plural": plural,
            "word_for": word_for,
            "faults_known": FAULTS,
        }

    def routes(self) -> list[Route | Mount]:
        """Every address of the console."""
        return [
            Route("/", self.overview),
            Route("/events", self.events),
            Route("/parked", self.parked),
            Route("/parked/rehearse", self.rehearse, methods=["POST"]),
            Route("/parked/carry-out", self.carry_out, methods=["POST"]),
            Route("/parked/{number:int}", self.one_parked),
            Route("/record", self.record),
            Route("/record/resync", self.resync, methods=["POST"]),
            Route("/drift", self.drift),
            Route("/drift/release", self.release, methods=["POST"]),
            Route("/drift/{name}", self.report),
            Route("/drift/{name}/page", self.report_page),
            Route("/first-sync", self.first_sync),
            Route("/faults", self.faults, methods=["GET", "POST"]),
            Route("/favicon.ico", lambda _request: FileResponse(HERE / "static" / "icon.svg")),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ]

    # Pages

    async def overview(self, request: Request) -> Response:
        """Everything at a glance."""
        view, processed, problem = await self._watch.now()
        hour = None if processed is None else chart.hour(processed, view.at)
        recent = list(reversed(processed or ()))[:_RECENT]
        return self._page(
            request, "overview.html", view=view, hour=hour, recent=recent, problem=problem, last_run=last_run(view)
        )

    async def parked(self, request: Request) -> Response:
        """What is parked: by reason, filtered, page by page."""
        view, _, _ = await self._watch.now()
        choice = Choice.of(request.query_params)
        found = choice.of_messages(view.messages)
        page = max(0, min(choice.page, (len(found) - 1) // PAGE))
        return self._page(
            request,
            "parked.html",
            view=view,
            choice=choice,
            found=found,
            shown=found[page * PAGE : (page + 1) * PAGE],
            page=page,
            pages=max(1, -(-len(found) // PAGE)),
            size=PAGE,
            advice=advice(),
            link=lambda **changes: "/parked?" + urlencode(choice.query(**changes)),
        )

    async def one_parked(self, request: Request) -> Response:
        """One parked message: why, what to do, its history, both sides' values, its body."""
        number = request.path_params["number"]
        view, _, _ = await self._watch.now()
        message = next((one for one in view.messages if one.sequence == number), None)
        if message is None:
            text = f"No parked message has the number {number} any more: it was replayed or discarded."
            return self._problem(request, text, 404)
        story, problem = await self._story(message.entity, message.key)
        return self._page(
            request,
            "message.html",
            message=message,
            view=view,
            body=pretty(message.body),
            advice=advice().get(message.reason),
            story=story,
            problem=problem,
            settled=story is not None and story.is_settled,
            hopeless=not _is_event(message.body),
            refused=next((why for _, why in self._desk.rehearse([message]).refused), ""),
        )

    async def record(self, request: Request) -> Response:
        """One record's story."""
        entity, key = request.query_params.get("entity", ""), request.query_params.get("key", "").strip()
        if not key:
            return self._page(request, "record.html", story=None, problem="", entity=entity, key=key, moments=[])
        _, processed, _ = await self._watch.now()
        story, problem = await self._story(entity, key)
        if story is not None and story.is_unknown and not story.parked:
            story, problem = None, f"Nothing is known of {entity} {key}. Is the key spelt right?"
        moments = timeline(story, processed or ()) if story is not None else []
        return self._page(request, "record.html", story=story, problem=problem, entity=entity, key=key, moments=moments)

    async def drift(self, request: Request) -> Response:
        """The runs that looked for drift, their reports, and the brake."""
        view, _, _ = await self._watch.now()
        names, problem = None, ""
        try:
            names = await self._desk.reports()
        except SyncError as error:
            problem = error.message
        return self._page(request, "drift.html", view=view, names=names, problem=problem, last_run=last_run(view))

    async def report(self, request: Request) -> Response:
        """A report, inside the console."""
        name = request.path_params["name"]
        try:
            known = name in (await self._desk.reports() or ())
        except SyncError as error:
            return self._problem(request, error.message, 503)
        if not known:
            return self._problem(request, f"There is no report {name}.", 404)
        return self._page(request, "report.html", name=name)

    async def report_page(self, request: Request) -> Response:
        """The report itself: a page of its own, in a sandbox."""
        try:
            content = await self._desk.report(request.path_params["name"])
        except SyncError as error:
            return self._problem(request, error.message, 503)
        if content is None:
            return self._problem(request, "There is no such report.", 404)
        return HTMLResponse(content, headers={"Content-Security-Policy": _REPORT_CSP})

    async def first_sync(self, request: Request) -> Response:
        """The last plan of a first sync, and how far its run has come."""
        view, _, _ = await self._watch.now()
        try:
            plan = await self._desk.first_sync_plan()
        except SyncError as error:
            return self._problem(request, error.message, 503)
        choices = [] if plan is None else list(chosen(plan.choices))
        sentence = "" if view.first_sync is None else told(view.first_sync, view.at)
        return self._page(
            request, "first_sync.html", view=view, plan=plan, choices=choices, sentence=sentence, names=NAMES
        )

    async def faults(self, request: Request) -> Response:
        """Make the local Dataverse fail, and lift it."""
        if not self._desk.is_local:
            return self._problem(request, "Only the local stack's Dynamics can be made to fail.", 404)
        try:
            if request.method == "POST":
                name = (await self._form(request)).one("fault")
                await (self._desk.add_fault(FAULTS[name][1]) if name in FAULTS else self._desk.lift_faults())
                return RedirectResponse("/faults", 303)
            return self._page(request, "faults.html", faults=await self._desk.faults())
        except SyncError as error:
            return self._problem(request, error.message, 503)

    # Acts

    async def rehearse(self, request: Request) -> Response:
        """Show what an act would do, and ask."""
        form = await self._form(request)
        view, _, _ = await self._watch.now()
        choice = Choice.of({name: values[0] for name, values in form.values.items()})
        chosen = choice.chosen(view.messages, form.values.get("number", ()))
        act = form.one("act")
        if act not in {"replay", "discard"} or not chosen:
            return self._problem(request, "No parked message was chosen: tick some, then choose what to do.", 400)
        rehearsed = self._desk.rehearse(chosen)
        ready = rehearsed.done if act == "replay" else chosen
        refused = rehearsed.refused if act == "replay" else []
        return self._page(request, "confirm.html", act=act, ready=ready, refused=refused, because="", problem="")

    async def carry_out(self, request: Request) -> Response:
        """Replay or discard what was shown."""
        form = await self._form(request)
        view, _, _ = await self._watch.now(fresh=True)
        numbers = form.values.get("number", [])
        chosen = Choice().chosen(view.messages, numbers)
        act, because = form.one("act"), form.one("because").strip()
        if act == "discard" and not because:
            return self._page(
                request,
                "confirm.html",
                act=act,
                ready=chosen,
                refused=[],
                because="",
                problem="A discard needs a reason.",
            )
        try:
            done = await (self._desk.replay(chosen) if act == "replay" else self._desk.discard(chosen, because))
        except SyncError as error:
            return self._problem(request, f"{error.message} What was not done yet is still parked.", 503)
        await self._watch.now(fresh=True)
        gone = len(numbers) - len(chosen)
        return self._page(request, "done.html", act=act, done=done, gone=gone)

    async def resync(self, request: Request) -> Response:
        """Have a record looked at again."""
        form = await self._form(request)
        entity, key = form.one("entity"), form.one("key")
        try:
            await self._desk.resync(entity, key, recreate=bool(form.one("recreate")))
        except (SyncError, UsageError) as error:
            return self._problem(request, str(error), 400)
        await self._watch.now(fresh=True)
        return RedirectResponse("/record?" + urlencode({"entity": entity, "key": key, "sent": "1"}), 303)

    async def release(self, request: Request) -> Response:
        """Let the repairs go that the brake holds."""
        who = (await self._form(request)).one("who").strip()
        if not who:
            return self._problem(request, "Who releases the brake? The name stands in the report.", 400)
        try:
            await self._desk.release_brake(who)
        except SyncError as error:
            return self._problem(request, error.message, 503)
        await self._watch.now(fresh=True)
        return RedirectResponse("/drift", 303)

    async def events(self, request: Request) -> Response:
        """Tell an open page each time that something changed (server-sent events)."""

        async def stream() -> AsyncIterator[str]:
            yield "retry: 2000\n\n"
            async for version in self._watch.changes():
                if await request.is_disconnected():
                    return
                yield f"data: {version}\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    # What the handlers share

    async def _story(self, entity: str, key: str) -> tuple[Story | None, str]:
        if not entity or not key:
            return None, ""
        try:
            return await self._desk.story(entity, key), ""
        except (SyncError, UsageError) as error:
            return None, str(error)

    async def _form(self, request: Request) -> Form:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _LARGEST_FORM:
                raise HTTPException(413, "The form is too large.")
        form = Form(parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=100_000))
        if form.one("token") != self._form_token:
            raise HTTPException(403, "The form is not one of this console: open the page again.")
        return form

    def _page(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        shown = self._templates.get_template(template).render(
            **values,
            request=request,
            title=self._desk.title,
            entities=self._desk.entities,
            is_local=self._desk.is_local,
            row_address=self._desk.row_address,
            form_token=self._form_token,
        )
        return HTMLResponse(shown, status)

    def _problem(self, request: Request, text: str, status: int) -> Response:
        return self._page(request, "problem.html", status, text=text)

    async def refused(self, request: Request, error: Exception) -> Response:
        """A page for what Starlette itself refuses, such as an address that does not exist."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        text = error.detail if isinstance(error, HTTPException) else "An unexpected error: see the console's terminal."
        return self._problem(request, "There is no such page." if status == 404 else text, status)  # noqa: PLR2004  # not found


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


def _is_event(body: bytes) -> bool:
    """Whether a body is a message of ours at all: one that is not would be parked again at once."""
    try:
        parse_event(body)
    except InvalidMessage:
        return False
    return True
