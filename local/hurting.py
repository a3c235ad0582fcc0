"""Faults of the demo CMMS: an ASGI application around it that answers slowly, badly or not at all on request.

`POST /_local/faults` puts a rule in force, `DELETE` lifts all, `GET` shows them; from this machine only, as all of it.
"""

import asyncio
from dataclasses import asdict
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATH = "/_local/faults"


@dataclass(config=ConfigDict(extra="forbid"))
class Rule:
    """Strikes `times` requests (None: all): answers late, answers `status` instead, or loses the answer."""

    effect: Literal["slow", "status", "lost_answer"]
    times: int | None = None
    seconds: float = 1.0
    status: int = 503
    retry_after: str | None = None
    code: str = ""
    message: str = "The demo CMMS was told to fail."
    struck: int = 0

    def strikes(self) -> bool:
        """Whether a request that just came is hit; counts it."""
        if self.times is not None and self.struck >= self.times:
            return False
        self.struck += 1
        return True


_RULE = TypeAdapter(Rule)


class Hurting:
    """The application with faults. Its page and its API suffer alike."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._rules: list[Rule] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == PATH:
            await (await self._control(Request(scope, receive)))(scope, receive, send)
        else:
            await self._serve(next((rule for rule in self._rules if rule.strikes()), None), scope, receive, send)

    async def _serve(self, rule: Rule | None, scope: Scope, receive: Receive, send: Send) -> None:
        match rule:
            case Rule(effect="status"):
                headers = {"Retry-After": rule.retry_after} if rule.retry_after else {}
                await JSONResponse({"error": rule.message}, rule.status, headers)(scope, receive, send)
            case Rule(effect="slow"):
                await asyncio.sleep(rule.seconds)
                await self._app(scope, receive, send)
            case Rule(effect="lost_answer"):
                await self._app(scope, receive, _nowhere)
                # Without an answer the server closes the connection.
                raise ConnectionError("The demo CMMS was told to lose this answer.")
            case _:
                await self._app(scope, receive, send)

    async def _control(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._rules.clear()
        if request.method == "POST":
            try:
                self._rules.append(_RULE.validate_json(await request.body()))
            except ValidationError as error:
                problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
                return JSONResponse({"error": problems}, 400)
        return JSONResponse([asdict(rule) for rule in self._rules])


async def _nowhere(_message: Message) -> None:
    """Take an answer that nobody gets."""
