"""The console's page of one record: its story, and having it looked at again."""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ops.console.desk import Desk
from ops.console.page import Handlers
from ops.console.timeline import timeline
from ops.session import UsageError
from shared.errors import SyncError
from shared.flows.operate.show import Story


class RecordPages(Handlers):
    """Handlers for a record."""

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [Route("/record", self.record), Route("/record/resync", self.resync, methods=["POST"])]

    async def record(self, request: Request) -> Response:
        """One record's story."""
        entity, key = request.query_params.get("entity", ""), request.query_params.get("key", "").strip()
        if not key:
            return self._pages.page(request, "record.html", story=None, problem="", entity=entity, key=key, moments=[])
        _, processed, _ = await self._watch.now()
        story, problem = await story_of(self._desk, entity, key)
        if story is not None and story.is_unknown and not story.parked:
            story, problem = None, f"Nothing is known of {entity} {key}. Is the key spelt right?"
        moments = timeline(story, processed or ()) if story is not None else []
        return self._pages.page(
            request, "record.html", story=story, problem=problem, entity=entity, key=key, moments=moments
        )

    async def resync(self, request: Request) -> Response:
        """Have a record looked at again."""
        form = await self._pages.form(request)
        entity, key = form.one("entity"), form.one("key")
        try:
            await self._desk.resync(entity, key, recreate=bool(form.one("recreate")))
        except (SyncError, UsageError) as error:
            return self._pages.problem(request, str(error), 400)
        await self._watch.now(fresh=True)
        return RedirectResponse("/record?" + urlencode({"entity": entity, "key": key, "sent": "1"}), 303)


async def story_of(desk: Desk, entity: str, key: str) -> tuple[Story | None, str]:
    """A record's story, None where there is none to tell, and why."""
    if not entity or not key:
        return None, ""
    try:
        return await desk.story(entity, key), ""
    except (SyncError, UsageError) as error:
        return None, str(error)
