"""The console's parked messages: the list, one message, and replaying or discarding what was chosen."""

from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ops.commands.parked import pretty
from ops.console.choice import PAGE, Choice
from ops.console.page import Handlers
from ops.console.record import story_of
from ops.console.runbook import advice
from shared.domain.messages.events import parse_event
from shared.errors import InvalidMessage, SyncError

ACTS: Final = {"replay", "discard"}
"""What can be done with parked messages."""


class ParkedPages(Handlers):
    """Handlers for what is parked."""

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/parked", self.parked),
            Route("/parked/rehearse", self.rehearse, methods=["POST"]),
            Route("/parked/carry-out", self.carry_out, methods=["POST"]),
            Route("/parked/{number:int}", self.one_parked),
        ]

    async def parked(self, request: Request) -> Response:
        """What is parked: by reason, filtered, page by page."""
        view, _, _ = await self._watch.now()
        choice = Choice.of(request.query_params)
        found = choice.of_messages(view.messages)
        page = max(0, min(choice.page, (len(found) - 1) // PAGE))
        return self._pages.page(
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
            return self._pages.problem(request, text, 404)
        story, problem = await story_of(self._desk, message.entity, message.key)
        return self._pages.page(
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

    async def rehearse(self, request: Request) -> Response:
        """Show what an act would do, and ask."""
        form = await self._pages.form(request)
        view, _, _ = await self._watch.now()
        choice = Choice.of({name: values[0] for name, values in form.values.items()})
        chosen = choice.chosen(view.messages, form.values.get("number", ()))
        act = form.one("act")
        if act not in ACTS or not chosen:
            return self._pages.problem(request, "No parked message was chosen: tick some, then choose what to do.", 400)
        rehearsed = self._desk.rehearse(chosen)
        ready = rehearsed.done if act == "replay" else chosen
        refused = rehearsed.refused if act == "replay" else []
        return self._pages.page(request, "confirm.html", act=act, ready=ready, refused=refused, because="", problem="")

    async def carry_out(self, request: Request) -> Response:
        """Replay or discard what was shown."""
        form = await self._pages.form(request)
        act, because = form.one("act"), form.one("because").strip()
        if act not in ACTS:
            return self._pages.problem(
                request, "The form does not say what to do: choose to replay or to discard.", 400
            )
        view, _, _ = await self._watch.now(fresh=True)
        numbers = form.values.get("number", [])
        chosen = Choice().chosen(view.messages, numbers)
        if act == "discard" and not because:
            return self._pages.page(
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
            return self._pages.problem(request, f"{error.message} What was not done yet is still parked.", 503)
        await self._watch.now(fresh=True)
        gone = len(numbers) - len(chosen)
        return self._pages.page(request, "done.html", act=act, done=done, gone=gone)


def _is_event(body: bytes) -> bool:
    """Whether a body is a message of ours at all: one that is not would be parked again at once."""
    try:
        parse_event(body)
    except InvalidMessage:
        return False
    return True
