"""Service Bus, by the azure-servicebus SDK: senders are opened once and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from copy import replace
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

from shared.adapters.service_bus.client import make_client, mapped
from shared.domain.words import plural
from shared.errors import SyncError, TooLarge, Unavailable
from shared.flows.ports.engine import Outgoing
from shared.settings import BusSettings

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.servicebus import ServiceBusMessage
    from azure.servicebus.aio import ServiceBusClient, ServiceBusSender

SEND_TIMEOUT: Final = 30.0
"""Seconds for all of a send, the SDK's own retry included: a webhook's caller waits for at most 60."""

# Bytes of a body that fits into the smallest limit, 256 KiB, beside properties of 64 KiB, with four bytes a character.
_SURELY_FITS: Final = 32 * 1024
# A property that explains is shortened to this many characters when its message would otherwise be too large.
_SHORT: Final = 100


@dataclass(eq=False)
class _Call:
    """One caller's messages, and what became of them."""

    messages: Sequence[Outgoing]
    done: bool = False
    too_large: list[Outgoing] = field(default_factory=list)
    failure: SyncError | None = None


class ServiceBus:
    """Sends to queues. A sender that failed is thrown away, so that the next call opens a new one.

    The SDK's sender serves one send at a time, and each takes a round trip. Whoever gets it takes the messages of all
    who wait for it along: a hundred webhooks at once cost a few sends.
    """

    def __init__(self, settings: BusSettings, credential: AsyncTokenCredential | None) -> None:
        """The connection string of the local stack where it is set, else the namespace under the credential."""
        self._settings = settings
        self._credential = credential
        self._client: ServiceBusClient | None = None
        self._senders: dict[str, ServiceBusSender] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, list[_Call]] = {}

    async def aclose(self) -> None:
        """Close the senders and the connection."""
        for queue in list(self._senders):
            await self._discard(queue)
        if self._client is not None:
            await self._client.close()

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        """Send in as few batches as the queue's size limit allows; scheduled messages by the same way.

        Raises:
            Unavailable: Not all were accepted.
            NotAuthorized: Our identity may not send to the queue.
            TooLarge: One is larger than the queue takes, even with its properties shortened; all others
                were sent. Trying again cannot help.
        """
        call = _Call(messages)
        waiting = self._waiting.setdefault(queue, [])
        waiting.append(call)
        try:
            async with self._locks.setdefault(queue, asyncio.Lock()):
                if not call.done:
                    await self._send_waiting(queue)
        finally:
            if call in waiting:  # cancelled: nobody waits for these any more
                waiting.remove(call)
        if call.failure is not None:
            raise call.failure
        if call.too_large:
            names = ", ".join(message.subject or "without a subject" for message in call.too_large[:5])
            raise TooLarge(
                f"Larger than the queue {queue} takes: {len(call.too_large)} of {plural(len(messages), 'message')}"
                f" ({names}): shorten the values of the record at its source.",
                refused=call.too_large,
            )

    async def _send_waiting(self, queue: str) -> None:
        """Send the messages of all who wait, and tell each what became of theirs."""
        waiting = self._waiting[queue]
        calls, waiting[:] = list(waiting), ()
        too_large: list[Outgoing] = []
        failure: SyncError | None = None
        try:
            with mapped(queue):
                async with asyncio.timeout(SEND_TIMEOUT):
                    too_large = await self._send(queue, [message for call in calls for message in call.messages])
        except SyncError as error:
            failure = error
            await self._discard(queue)
        except BaseException:
            # This caller was cancelled: the next one sends for the others, and what may have been sent already again.
            waiting[:] = [*calls, *waiting]
            raise
        refused = {id(message) for message in too_large}
        for call in calls:
            call.done, call.failure = True, failure
            call.too_large = [message for message in call.messages if id(message) in refused]
        if failure is not None:
            # Else those who came meanwhile would wait for the same outage once more.
            for call in waiting:
                call.done = True
                call.failure = Unavailable(f"The queue {queue} has just failed another sender.", sent=False)
            waiting.clear()

    async def _send(self, queue: str, messages: Sequence[Outgoing]) -> list[Outgoing]:
        """Send what fits into a batch of its own or with others; answers what does not."""
        from azure.servicebus.exceptions import MessageSizeExceededError  # noqa: PLC0415

        sender = await self._sender(queue)
        if len(messages) == 1 and len(messages[0].body) <= _SURELY_FITS:
            # The usual case of a webhook. A batch of one message would encode the message twice.
            await sender.send_messages(_to_sdk(messages[0]))
            return []
        batch = await sender.create_message_batch()
        too_large: list[Outgoing] = []
        for message in messages:
            for attempt in (message, message, _shortened(message)):
                try:
                    batch.add_message(_to_sdk(attempt))
                    break
                except MessageSizeExceededError:
                    if len(batch):
                        await sender.send_messages(batch)
                        batch = await sender.create_message_batch()
            else:
                too_large.append(message)
        if len(batch):
            await sender.send_messages(batch)
        return too_large

    async def _sender(self, queue: str) -> ServiceBusSender:
        if queue not in self._senders:
            if self._client is None:
                self._client = make_client(self._settings, self._credential)
            self._senders[queue] = self._client.get_queue_sender(queue)
        return self._senders[queue]

    async def _discard(self, queue: str) -> None:
        sender = self._senders.pop(queue, None)
        if sender is not None:
            await sender.close()


def _shortened(message: Outgoing) -> Outgoing:
    """Without what only informs: the body and the reason count."""
    return replace(
        message,
        properties={
            name: value[:_SHORT] if isinstance(value, str) else value
            for name, value in message.properties.items()
            if name != "history"
        },
    )


def _clean(text: str) -> str:
    """Text that AMQP can carry: what comes from outside may hold half a surrogate pair."""
    return text.encode("utf-8", "replace").decode()


def _to_sdk(message: Outgoing) -> ServiceBusMessage:
    from azure.servicebus import ServiceBusMessage  # noqa: PLC0415

    return ServiceBusMessage(
        message.body,
        message_id=message.message_id or str(uuid4()),
        content_type=message.content_type,
        subject=_clean(message.subject) if message.subject is not None else None,
        application_properties=_properties(message) or None,
        scheduled_enqueue_time_utc=message.scheduled_at,
    )


def _properties(message: Outgoing) -> dict[str | bytes, int | float | bytes | bool | str | UUID]:
    return {name: _clean(value) if isinstance(value, str) else value for name, value in message.properties.items()}
