"""What the demo's scenes can do to a running stack, and how they wait and check."""

import asyncio
import hashlib
import hmac
import json
import subprocess
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self
from uuid import uuid4

import httpx
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from local.run import ROOT
from local.stack import Stack
from shared.adapters.ledger import SqliteLedger
from shared.domain.link import Link
from shared.domain.messages import queues
from shared.domain.messages.events import CONTENT_TYPE

PATIENCE: Final = 20.0
# By this header a Dynamics user writes without the asynchronous steps: what a lost webhook looks like.
UNANNOUNCED: Final = {"MSCRM.BypassBusinessLogicExecution": "CustomAsync"}

_ALREADY: Final = frozenset({400, 409, 412})
_AGAIN_AFTER: Final = 0.3
_RECOVERY: Final = max(queue.lock_duration for queue in queues.ALL).total_seconds() + 60
"""How long a check waits once a part has died: what its worker held comes back when the locks end."""

type Row = dict[str, Any]


class Patient(httpx.BaseTransport):
    """Asks again where nobody answers, as a person does: the part may just be starting again."""

    def __init__(self) -> None:
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; the answer's extensions say whether it had been sent before."""
        deadline, retried = time.monotonic() + PATIENCE, False
        while True:
            try:
                response = self._inner.handle_request(request)
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_AGAIN_AFTER)
                retried = True
            else:
                response.extensions["retried"] = retried
                return response

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()


class CheckError(Exception):
    """A check of the demo failed."""


class Player:
    """A person at both systems, with a look at the queues and the ledger."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._http = httpx.Client(timeout=30, trust_env=False, transport=Patient())
        self._dynamics = {"Authorization": f"Bearer {stack.person_token()}", "Content-Type": "application/json"}
        self._bus = ServiceBusClient.from_connection_string(stack.servicebus_connection, retry_total=5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bus.close()
        self._http.close()

    # The CMMS, as its users see it

    def cmms_create(self, table: str, record: Row, *, announced: bool = True) -> None:
        """Create a record; unannounced as a bulk import does."""
        query = "" if announced else "?silencioso=1"
        self._must(self._http.post(f"{self.stack.cmms_url}/demo/{table}/{query}", json=record))

    def cmms_edit(self, table: str, key: str, changes: Row, *, announced: bool = True) -> None:
        """Edit a record; unannounced as a bulk import does, which raises no signal."""
        query = "" if announced else "?silencioso=1"
        self._must(self._http.patch(f"{self.stack.cmms_url}/demo/{table}/{key}/{query}", json=changes))

    def cmms(self, table: str, key_name: str) -> dict[str, Row]:
        """All records by key."""
        answer = self._must(self._http.get(f"{self.stack.cmms_url}/demo/{table}/")).json()
        return {row[key_name]: row for row in answer["resultados"]}

    # Dynamics, as its users see it

    def dynamics_create(self, entity_set: str, row: Row, *, announced: bool = True) -> None:
        """Create a row."""
        self._must(
            self._http.post(
                f"{self.stack.web_api_url}/{entity_set}", json=row, headers=self._headers(announced=announced)
            )
        )

    def dynamics_edit(self, entity_set: str, row_id: str, changes: Row, *, announced: bool = True) -> None:
        """Edit a row."""
        self._must(
            self._http.patch(
                f"{self.stack.web_api_url}/{entity_set}({row_id})",
                json=changes,
                headers={**self._headers(announced=announced), "If-Match": "*"},
            )
        )

    def dynamics(self, entity_set: str, key_column: str) -> dict[str, Row]:
        """All rows by key."""
        answer = self._must(self._http.get(f"{self.stack.web_api_url}/{entity_set}", headers=self._dynamics))
        return {row[key_column]: row for row in answer.json()["value"]}

    def _headers(self, *, announced: bool) -> dict[str, str]:
        return self._dynamics if announced else {**self._dynamics, **UNANNOUNCED}

    def dataverse_figures(self) -> Row:
        """The emulator's counters."""
        answer: Row = self._must(self._http.get(f"{self.stack.dataverse_url}/_emulator/stats")).json()
        return answer

    def reset_figures(self) -> None:
        """Set the counters to zero."""
        self._must(self._http.post(f"{self.stack.dataverse_url}/_emulator/reset-stats"))

    # The functions

    def webhook(
        self, body: bytes, *, signature: str | None = None, method: str = "POST", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Call the webhook, signed unless a signature is given."""
        right = hmac.new(self.stack.keys.webhook.encode(), body, hashlib.sha256).hexdigest()
        return self._http.request(
            method,
            self.stack.webhook_url,
            content=body,
            headers={"X-MS-SIGNATURE": signature if signature is not None else right, **(headers or {})},
        )

    def reconcile(self) -> None:
        """Run the timer function now."""
        self._must(
            self._http.post(
                f"{self.stack.host_url}/admin/functions/reconcile",
                json={"input": ""},
                headers={"x-functions-key": self.stack.keys.master},
            )
        )

    # Queues and ledger

    def drop(self, queue: str, *bodies: bytes) -> None:
        """Put messages on a queue, as a foreign sender would."""
        with self._bus.get_queue_sender(queue) as sender:
            sender.send_messages(
                [ServiceBusMessage(body, message_id=str(uuid4()), content_type=CONTENT_TYPE) for body in bodies]
            )

    def resync(self, entity: str, *keys: str) -> None:
        """Ask for records to be looked at."""
        queue = {"asset": "assets", "order": "orders"}[entity]
        self.drop(
            queue,
            *(
                json.dumps(
                    {
                        "specversion": "1.0",
                        "id": str(uuid4()),
                        "source": "/demo",
                        "type": f"sync.{entity}.dirty",
                        "data": {"key": key},
                    }
                ).encode()
                for key in keys
            ),
        )

    def ops(self, *arguments: str) -> tuple[int, Row]:
        """Type a command of the operator, with `--json` among its arguments.

        Returns:
            Its exit code, and the document that it prints.

        Raises:
            CheckError: It prints none.
        """
        done = subprocess.run(  # noqa: S603  # our own command line
            [sys.executable, "-m", "ops", *arguments],
            env={**self.stack.environment(), **self.stack.operator_settings()},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        try:
            found: Row = json.loads(done.stdout)
        except ValueError:
            raise CheckError(f"ops {' '.join(arguments)} ended with {done.returncode}: {done.stderr}") from None
        return done.returncode, found

    def counts(self) -> dict[str, dict[str, int]]:
        """Messages by queue and state."""
        url = f"http://127.0.0.1:{self.stack.ports.servicebus_admin}/counts"
        answer: dict[str, dict[str, int]] = self._must(self._http.get(url)).json()
        return answer

    def parked(self) -> list[tuple[dict[str, Any], bytes]]:
        """The parked messages: properties and body."""
        with self._bus.get_queue_receiver("parked") as receiver:
            return [
                (
                    {
                        (name.decode() if isinstance(name, bytes) else name): value
                        for name, value in (message.application_properties or {}).items()
                    },
                    b"".join(message.body),
                )
                for message in receiver.peek_messages(max_message_count=200)
            ]

    def ledger(self, entity: str, key: str) -> Link:
        """The ledger's memory of the record with a key."""
        ledger = SqliteLedger(self.stack.ledger_path)
        try:
            return asyncio.run(_link(ledger, entity, key))
        finally:
            ledger.close()

    # Waiting and checking

    def until(self, what: str, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait for a condition.

        Raises:
            CheckError: It did not come true in time.
        """
        begun = time.monotonic()
        while not condition():
            patience = max(seconds, _RECOVERY) if self.stack.restarts else seconds
            if time.monotonic() - begun > patience:
                raise CheckError(f"after {patience:.0f} s still not: {what}")
            time.sleep(0.1)

    def until_quiet(self) -> None:
        """Wait until nothing moves: no message waits or is locked, and no webhook is on its way."""

        def quiet() -> bool:
            counts = self.counts()
            busy = sum(counts[q]["active"] + counts[q]["locked"] + counts[q]["scheduled"] for q in ("assets", "orders"))
            return busy == 0 and self.dataverse_figures()["webhooks"]["pending"] == 0

        # Twice in a row, because a message may just have been taken and its consequence not yet have been sent.
        for _ in range(2):
            self.until("the queues are empty and the webhooks delivered", quiet)
            time.sleep(0.4)

    @staticmethod
    def check(what: str, holds: object) -> None:
        """Insist.

        Raises:
            CheckError: It does not hold.
        """
        if not holds:
            raise CheckError(f"does not hold: {what}")

    @staticmethod
    def _must(response: httpx.Response) -> httpx.Response:
        # A refusal of what was sent a second time says that the first time was carried out: the record is there.
        carried_out = response.extensions.get("retried") and response.status_code in _ALREADY
        if not response.is_success and not carried_out:
            raise CheckError(
                f"{response.request.method} {response.request.url.path} answered {response.status_code}: "
                f"{response.text[:200]}"
            )
        return response


async def _link(ledger: SqliteLedger, entity: str, key: str) -> Link:
    links = [one async for page in ledger.scan(entity) for one in page if isinstance(one, Link)]
    return next(link for link in links if link.key == key)
