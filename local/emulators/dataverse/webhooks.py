"""Native webhooks: asynchronous steps that post each change to registered addresses.

Time-out, retry and headers: https://learn.microsoft.com/power-apps/developer/data-platform/use-webhooks
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx

from local.emulators.dataverse.changes import Change, Message
from local.emulators.dataverse.execution_context import render_context
from local.emulators.dataverse.organization import Dataverse
from local.emulators.dataverse.platform import REGISTRATION
from local.emulators.dataverse.registrations import Registrations
from local.emulators.dataverse.tasks import Tasks
from local.emulators.dataverse.webhook import AuthType, Webhook

_TIMEOUT_SECONDS = 60.0
_RETRIED = {502, 503, 504}
_ATTEMPTS = 2
_PARALLEL = 16
_REMEMBERED = 2000


@dataclass(slots=True)
class Delivery:
    """What became of one post; `status` is the last HTTP status, or None with the reason in `error`."""

    webhook: str
    message: str
    table: str
    row_id: UUID
    operation_id: UUID
    size: int
    cut: bool
    attempts: int = 0
    status: int | None = None
    error: str | None = None
    done: bool = False

    @property
    def succeeded(self) -> bool:
        """Tell whether the receiver answered 2xx."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 - the 2xx range


class WebhookSender:
    """Posts changes in tasks of their own, after the request that made them; there is no order among them.

    What is posted is what is registered in the rows of the environment; `webhooks` are registered first. An
    environment has one such service: the newest sender takes its place.
    """

    def __init__(
        self,
        dataverse: Dataverse,
        webhooks: list[Webhook] | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout_seconds: float = _TIMEOUT_SECONDS,
        retry_delay_seconds: float = 0.0,
    ) -> None:
        self._registrations = Registrations(dataverse)
        self._registered: list[Webhook] | None = None
        for webhook in webhooks or ():
            self._registrations.add(webhook)
        self.deliveries: deque[Delivery] = deque(maxlen=_REMEMBERED)
        self.sent = 0
        self.failed = 0
        self._dataverse = dataverse
        self._transport = transport
        self._timeout = timeout_seconds
        self._retry_delay = retry_delay_seconds
        self._tasks: Tasks[None] = Tasks()
        self._client: httpx.AsyncClient | None = None
        self._places = asyncio.Semaphore(_PARALLEL)
        others = [one for one in dataverse.subscribers if not isinstance(getattr(one, "__self__", None), WebhookSender)]
        dataverse.subscribers[:] = [*others, self.publish]

    @property
    def webhooks(self) -> list[Webhook]:
        """What is registered."""
        if self._registered is None:
            self._registered = self._registrations.webhooks()
        return self._registered

    @property
    def pending(self) -> int:
        """Count the posts that have not ended."""
        return len(self._tasks)

    def publish(self, change: Change) -> None:
        """Start a post for each step that the change concerns; needs a running event loop if there is one."""
        if change.table in REGISTRATION:
            self._registered = None
        for webhook in self.webhooks:
            if _concerns(webhook, change) and not (change.caller.skip_async and not webhook.synchronous):
                self._tasks.start(self._deliver(webhook, change))

    async def drain(self) -> None:
        """Wait until every post so far, and those that they cause, have ended."""
        await self._tasks.drain()

    async def aclose(self) -> None:
        """Give up the posts that have not ended, and close the connections."""
        await self._tasks.cancel()
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _deliver(self, webhook: Webhook, change: Change) -> None:
        table = self._dataverse.tables[change.table].table
        body, cut = render_context(
            self._dataverse.organization,
            table,
            change,
            pre_image=webhook.pre_image,
            post_image=webhook.post_image,
            image_alias=webhook.image_alias,
            synchronous=webhook.synchronous,
        )
        delivery = Delivery(
            webhook.name, change.message, change.table, change.row_id, change.operation_id, len(body), cut
        )
        self.deliveries.append(delivery)
        if not webhook.usable:
            delivery.error = "0x80050203: invalid http headers in authValue"
            delivery.done = True
            self.failed += 1
            return
        request = self._request(webhook, change, body, cut=cut)
        async with self._places:
            for attempt in range(_ATTEMPTS):
                if attempt:
                    await asyncio.sleep(self._retry_delay)
                await self._post(request, delivery)
                if delivery.status not in _RETRIED:
                    break
        delivery.done = True
        if delivery.succeeded:
            self.sent += 1
        else:
            self.failed += 1

    async def _post(self, request: dict[str, Any], delivery: Delivery) -> None:
        delivery.attempts += 1
        delivery.status = delivery.error = None
        if self._client is None:
            self._client = httpx.AsyncClient(transport=self._transport, timeout=None, trust_env=False)  # noqa: S113 - bounded below
        try:
            async with asyncio.timeout(self._timeout):
                response = await self._client.post(**request)
            delivery.status = response.status_code
        except TimeoutError:
            delivery.error = f"no answer within {self._timeout:g} s"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            delivery.error = f"{type(error).__name__}: {error}"

    def _request(self, webhook: Webhook, change: Change, body: bytes, *, cut: bool) -> dict[str, Any]:
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "x-ms-dynamics-organization": self._dataverse.organization.host,
            "x-ms-dynamics-entity-name": change.table,
            "x-ms-dynamics-request-name": change.message.value,
            "x-ms-correlation-request-id": str(change.caller.correlation_id),
        }
        if cut:
            headers["x-ms-dynamics-msg-size-exceeded"] = "true"
        query: dict[str, str] = {}
        match webhook.auth_type:
            case AuthType.HTTP_HEADER:
                headers |= webhook.auth
            case AuthType.HTTP_QUERY_STRING:
                query |= webhook.auth
            case AuthType.WEBHOOK_KEY:
                query["code"] = next(iter(webhook.auth.values()), "")
        url = httpx.URL(webhook.url).copy_merge_params(query) if query else httpx.URL(webhook.url)
        return {"url": url, "headers": headers, "content": body}


def _concerns(webhook: Webhook, change: Change) -> bool:
    if webhook.table != change.table or change.message not in webhook.messages:
        return False
    filtered = change.message is Message.UPDATE and webhook.filtering_attributes
    return not filtered or bool(webhook.filtering_attributes & change.columns)
