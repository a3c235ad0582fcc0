"""Dead letters and waiting times, by the azure-servicebus SDK."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from shared.adapters.service_bus.client import body_of, has_bytes, mapped
from shared.adapters.service_bus.receiver import ServiceBusQueues
from shared.flows.ports.engine import DeadLetter, Forward

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver

# Imported where they are used: only the timer's run receives by itself.
# ruff: noqa: PLC0415

_PAGE: Final = 100
_WAIT: Final = 2.0


class ServiceBusDeadLetters(ServiceBusQueues):
    """Implements the flows' `DeadLetters`."""

    async def tend(self, queue: str, forward: Forward, limit: int) -> tuple[int, datetime | None]:
        """Forward dead letters, then look at what waits."""
        with mapped(queue):
            async with self._client() as client:
                moved = await _drain(client, queue, forward, limit) if limit else 0
                async with client.get_queue_receiver(queue) as receiver:
                    return moved, await _oldest(receiver)


async def _drain(client: ServiceBusClient, queue: str, forward: Forward, limit: int) -> int:
    """Page by page, completing each only after it was forwarded: what is forwarded twice is better than lost.

    What has to stay is held until the end, so that it is not received again, and then given back.
    """
    from azure.servicebus import ServiceBusSubQueue
    from azure.servicebus.exceptions import MessageLockLostError

    moved = 0
    staying: list[ServiceBusReceivedMessage] = []
    async with client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
        # An empty queue is the usual case, and looking costs less than waiting.
        while (room := limit - moved - len(staying)) > 0 and await receiver.peek_messages(
            max_message_count=1, timeout=30
        ):
            messages = await receiver.receive_messages(max_message_count=min(_PAGE, room), max_wait_time=_WAIT)
            if not messages:
                break
            letters = [_letter(message) for message in messages]
            kept = {id(letter) for letter in await forward(letters)}
            for message, letter in zip(messages, letters, strict=True):
                if id(letter) in kept:
                    staying.append(message)
                else:
                    await receiver.complete_message(message)
                    moved += 1
        for message in staying:
            # One whose lock has expired meanwhile is back already.
            with suppress(MessageLockLostError):
                await receiver.abandon_message(message)
    return moved


async def _oldest(receiver: ServiceBusReceiver) -> datetime | None:
    """When the oldest message that waits to be received was enqueued; scheduled ones do not wait yet."""
    from azure.servicebus import ServiceBusMessageState

    after = 0
    while messages := await receiver.peek_messages(max_message_count=_PAGE, sequence_number=after, timeout=30):
        for message in messages:
            if message.state is ServiceBusMessageState.ACTIVE and message.enqueued_time_utc is not None:
                return _utc(message.enqueued_time_utc)
        after = max(message.sequence_number or 0 for message in messages) + 1
    return None


def _letter(message: ServiceBusReceivedMessage) -> DeadLetter:
    return DeadLetter(
        body=body_of(message),
        message_id=message.message_id or "",
        subject=message.subject,
        reason=message.dead_letter_reason or "unknown",
        description=message.dead_letter_error_description or "",
        deliveries=message.delivery_count or 0,
        enqueued_at=_utc(message.enqueued_time_utc) if message.enqueued_time_utc is not None else None,
        has_bytes=has_bytes(message),
    )


def _utc(at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
