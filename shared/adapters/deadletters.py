"""Dead letters and waiting times, by the azure-servicebus SDK."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from shared.adapters.queues import ServiceBusQueues, _mapped
from shared.flows.ports import DeadLetter

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver

# Imported where they are used: only the timer's run receives by itself.
# ruff: noqa: PLC0415

_PAGE: Final = 100
_WAIT: Final = 2.0


class ServiceBusDeadLetters(ServiceBusQueues):
    """Implements the flows' `DeadLetters`."""

    async def tend(
        self, queue: str, forward: Callable[[Sequence[DeadLetter]], Awaitable[None]], limit: int
    ) -> tuple[int, datetime | None]:
        """Forward dead letters, then look at what waits."""
        with _mapped(queue):
            async with self._client() as client:
                moved = await _drain(client, queue, forward, limit) if limit else 0
                async with client.get_queue_receiver(queue) as receiver:
                    return moved, await _oldest(receiver)


async def _drain(
    client: ServiceBusClient, queue: str, forward: Callable[[Sequence[DeadLetter]], Awaitable[None]], limit: int
) -> int:
    """Page by page, completing each only after it was forwarded: what is forwarded twice is better than lost."""
    from azure.servicebus import ServiceBusSubQueue

    moved = 0
    async with client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
        # An empty queue is the usual case, and looking costs less than waiting.
        while moved < limit and await receiver.peek_messages(max_message_count=1, timeout=30):
            count = min(_PAGE, limit - moved)
            messages = await receiver.receive_messages(max_message_count=count, max_wait_time=_WAIT)
            if not messages:
                break
            await forward([_letter(message) for message in messages])
            for message in messages:
                await receiver.complete_message(message)
            moved += len(messages)
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
    body = message.body
    return DeadLetter(
        body=body if isinstance(body, bytes) else b"".join(body),
        message_id=message.message_id or "",
        subject=message.subject,
        reason=message.dead_letter_reason or "unknown",
        description=message.dead_letter_error_description or "",
        deliveries=message.delivery_count or 0,
        enqueued_at=_utc(message.enqueued_time_utc) if message.enqueued_time_utc is not None else None,
    )


def _utc(at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
