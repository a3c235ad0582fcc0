"""One request to the Web API."""

import asyncio
from datetime import timedelta
from http import HTTPStatus
from typing import Final, override

import httpx

from shared.adapters.dataverse.quota import Quota
from shared.adapters.dataverse.refusals import failure
from shared.adapters.http.client import SINGLE_TIMEOUT, HttpService
from shared.adapters.http.gate import FIRST_WIDTH, Gate
from shared.errors import SyncError, Throttled
from shared.flows.ports.engine import Clock

_HEADERS: Final = {
    "Accept": "application/json",
    "OData-MaxVersion": "4.0",
    "OData-Version": "4.0",
}
_QUESTION: Final = "WhoAmI"
"""The cheapest request: any answer tells what is left of the quota."""
LONGEST_HOLD: Final = 15.0
"""Seconds that a request without a deadline is held back in place until the quota permits it."""


class DataverseClient(HttpService):
    """A keep-alive client for one organization, as wide as the organization hints and as busy as its quota permits."""

    def __init__(
        self, base_url: str, auth: httpx.Auth, clock: Clock, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`base_url` is the Web API's root; `transport` replaces the network in tests."""
        gate = Gate(clock, "Dynamics")
        super().__init__("Dynamics", base_url, gate, clock, headers=_HEADERS, auth=auth, transport=transport)
        self._quota = Quota(clock)
        self._asking = asyncio.Lock()

    @property
    def parallel(self) -> int:
        """Into how many requests at a time a batch should be cut."""
        return self._quota.parallel(self.gate.width)

    @override
    def meaning(self, response: httpx.Response) -> SyncError | None:
        """A batch that stopped at a refused part has that part's status, and is an answer all the same."""
        if response.headers.get("Content-Type", "").startswith("multipart/mixed"):
            return None
        return failure(response, self.clock.now())

    @override
    def _heard(self, response: httpx.Response, seconds: float) -> None:
        if response.is_success:
            self._quota.heard(response.headers, seconds, asked=response.request.url.path.endswith(_QUESTION))
            hint = response.headers.get("x-ms-dop-hint", "")
            width = int(hint[:4]) if hint.isascii() and hint.isdigit() else FIRST_WIDTH
            self.gate.hint(1 if self._quota.is_tight else width)
        elif response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            self._quota.refused()

    @override
    async def _permitted(self, deadline: float | None) -> None:
        """Wait until the quota permits a request; one of those that wait asks for all.

        Raises:
            Throttled: It will not in time.
        """
        until = deadline if deadline is not None else self.clock.monotonic() + LONGEST_HOLD
        async with self._asking:
            while True:
                wait, ask = self._quota.wait(self.gate.inside)
                if not wait:
                    return
                if self.clock.monotonic() + wait > until:
                    used_up = "What Dynamics permits our user in five minutes is used up."
                    raise Throttled(used_up, retry_after=timedelta(seconds=wait))
                await asyncio.sleep(wait)
                if ask:
                    await self._perform(self._http.build_request("GET", _QUESTION), SINGLE_TIMEOUT)
