"""The console's page of faults that the local Dataverse is to have."""

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ops.console.page import Handlers
from shared.errors import SyncError

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


class FaultPages(Handlers):
    """The handler for faults; refuses where the desk is not of the local stack."""

    def routes(self) -> list[Route]:
        """Its address."""
        return [Route("/faults", self.faults, methods=["GET", "POST"])]

    async def faults(self, request: Request) -> Response:
        """Make the local Dataverse fail, and lift it."""
        if not self._desk.is_local:
            return self._pages.problem(request, "Only the local stack's Dynamics can be made to fail.", 404)
        try:
            if request.method == "POST":
                name = (await self._pages.form(request)).one("fault")
                await (self._desk.add_fault(FAULTS[name][1]) if name in FAULTS else self._desk.lift_faults())
                return RedirectResponse("/faults", 303)
            return self._pages.page(request, "faults.html", faults_known=FAULTS, faults=await self._desk.faults())
        except SyncError as error:
            return self._pages.problem(request, error.message, 503)
