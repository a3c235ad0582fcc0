"""Service Bus, by the azure-servicebus SDK: senders are opened once and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from shared.errors import NotAuthorized, Unavailable
from shared.flows.ports import Outgoing
from shared.settings import Settings

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.servicebus import ServiceBusMessage
    from azure.servicebus.aio import ServiceBusClient, ServiceBusSender


class ServiceBus:
    """Sends to queues. A sender that failed is thrown away, so that the next call opens a new one."""

    def __init__(self, settings: Settings, credential: AsyncTokenCredential | None) -> None:
        """The connection string of the local stack where it is set, else the namespace under the credential."""
        self._settings = settings
        self._credential = credential
        self._client: ServiceBusClient | None = None
        self._senders: dict[str, ServiceBusSender] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def aclose(self) -> None:
        """Close the senders and the connection."""
        for sender in self._senders.values():
            await sender.close()
        if self._client is not None:
            await self._client.close()

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        """Send in as few batches as the queue's size limit allows; scheduled messages by the same way.

        Raises:
            Unavailable: Not all were accepted.
            NotAuthorized: Our identity may not send to the queue.
        """
        # Imported here: the SDK is a tenth of a second of start-up that a timer or health call does not need.
        from azure.servicebus.exceptions import (  # noqa: PLC0415
            MessageSizeExceededError,
            ServiceBusAuthenticationError,
            ServiceBusAuthorizationError,
            ServiceBusError,
        )

        async with self._locks.setdefault(queue, asyncio.Lock()):
            try:
                sender = await self._sender(queue)
                batch = await sender.create_message_batch()
                for message in map(_to_sdk, messages):
                    try:
                        batch.add_message(message)
                    except MessageSizeExceededError:
                        if not len(batch):
                            raise
                        await sender.send_messages(batch)
                        batch = await sender.create_message_batch()
                        batch.add_message(message)
                await sender.send_messages(batch)
            except (ServiceBusAuthenticationError, ServiceBusAuthorizationError) as error:
                await self._discard(queue)
                raise NotAuthorized(
                    f"Service Bus refused our identity for the queue {queue}: it needs the role Azure Service Bus"
                    " Data Sender there."
                ) from error
            except (ServiceBusError, OSError, ValueError) as error:
                await self._discard(queue)
                raise Unavailable(f"The queue {queue} took no message: {type(error).__name__}.") from error

    async def _sender(self, queue: str) -> ServiceBusSender:
        if queue not in self._senders:
            from azure.servicebus.aio import ServiceBusClient  # noqa: PLC0415

            if self._client is None:
                connection = self._settings.service_bus_connection.get_secret_value()
                if connection:
                    self._client = ServiceBusClient.from_connection_string(connection, retry_total=1)
                elif self._credential is not None:
                    self._client = ServiceBusClient(
                        self._settings.service_bus_namespace, self._credential, retry_total=1
                    )
                else:
                    raise ValueError("neither a connection string nor a credential")
            self._senders[queue] = self._client.get_queue_sender(queue)
        return self._senders[queue]

    async def _discard(self, queue: str) -> None:
        sender = self._senders.pop(queue, None)
        if sender is not None:
            await sender.close()


def _to_sdk(message: Outgoing) -> ServiceBusMessage:
    from azure.servicebus import ServiceBusMessage  # noqa: PLC0415

    return ServiceBusMessage(
        message.body,
        message_id=message.message_id or str(uuid4()),
        content_type=message.content_type,
        subject=message.subject,
        application_properties=_properties(message),
        scheduled_enqueue_time_utc=message.scheduled_at,
    )


def _properties(message: Outgoing) -> dict[str | bytes, int | float | bytes | bool | str | UUID]:
    return {name: value for name, value in message.properties.items()}  # noqa: C416  # widens the types
