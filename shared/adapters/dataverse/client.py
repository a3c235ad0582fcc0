"""One request to the Web API."""

from typing import Final, override

import httpx

from shared.adapters.dataverse.refusals import failure
from shared.adapters.http.client import HttpService
from shared.adapters.http.gate import Gate
from shared.errors import SyncError
from shared.flows.ports.engine import Clock

_HEADERS: Final = {
    "Accept": "application/json",
    "OData-MaxVersion": "4.0",
    "OData-Version": "4.0",
}


class DataverseClient(HttpService):
    """A keep-alive client for one organization, as wide as the organization hints."""

    def __init__(
        self, base_url: str, auth: httpx.Auth, clock: Clock, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`base_url` is the Web API's root; `transport` replaces the network in tests."""
        gate = Gate(clock, "Dynamics")
        super().__init__("Dynamics", base_url, gate, clock, headers=_HEADERS, auth=auth, transport=transport)

    @override
    def meaning(self, response: httpx.Response) -> SyncError | None:
        """A batch that stopped at a refused part has that part's status, and is an answer all the same."""
        if response.headers.get("Content-Type", "").startswith("multipart/mixed"):
            return None
        return failure(response, self.clock.now())

    @override
    def _judge(self, response: httpx.Response) -> SyncError | None:
        error = super()._judge(response)
        hint = response.headers.get("x-ms-dop-hint", "")
        if error is None and hint.isascii() and hint.isdigit():
            self.gate.hint(int(hint[:4]))
        return error
