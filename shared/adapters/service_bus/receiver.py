"""The receiving side of Service Bus, for an operator: look at a queue, take chosen messages, see whether it works."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from shared.adapters.service_bus.client import body_of, make_client, mapped
from shared.domain.messages.queues import PARKED
from shared.flows.operate.parked import Probe, Survey, Taken, Waiting
from shared.settings import BusSettings

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver

# Imported where they are used: a function never receives by itself.
# ruff: noqa: PLC0415

_PAGE: Final = 250
_WAIT: Final = 3.0


class ServiceBusQueues:
    """Opens a connection for each piece of work, and closes it."""

    def __init__(self, settings: BusSettings, credential: AsyncTokenCredential | None) -> None:
        """The connection string of the local stack where it is set, else the namespace under the credential."""
        self._settings = settings
        self._credential = credential

    async def peek(self, queue: str) -> AsyncIterator[list[Waiting]]:
        """Everything on a queue, page by page in the order of arrival, without taking it.

        Raises:
            Unavailable: The queue cannot be read.
            NotAuthorized: Our identity may not receive from it.
        """
        with mapped(queue):
            async with self._client() as client, client.get_queue_receiver(queue) as receiver:
                after = 0
                while messages := await receiver.peek_messages(
                    max_message_count=_PAGE, sequence_number=after, timeout=30
                ):
                    yield [_waiting(message) for message in messages]
                    after = max(message.sequence_number or 0 for message in messages) + 1

    async def take(self, queue: str, wanted: Collection[int]) -> AsyncGenerator[Taken]:
        """Lock the wanted messages one after the other; each is settled by whoever takes it.

        The others are held until the end and then given back: given back at once, they would be delivered again.

        Raises:
            Unavailable: The queue cannot be read. What is locked comes back when its lock expires.
        """
        from azure.servicebus.exceptions import MessageLockLostError

        missing = set(wanted)
        others: list[ServiceBusReceivedMessage] = []
        with mapped(queue):
            async with self._client() as client, client.get_queue_receiver(queue) as receiver:
                try:
                    while missing:
                        messages = await receiver.receive_messages(max_message_count=_PAGE, max_wait_time=_WAIT)
                        if not messages:
                            return
                        for place, message in enumerate(messages):
                            if message.sequence_number not in missing:
                                others.append(message)
                                continue
                            missing.discard(message.sequence_number)
                            try:
                                yield _Taken(queue, receiver, message)
                            except BaseException:
                                others.extend(messages[place + 1 :])
                                raise
                finally:
                    for message in others:
                        # One whose lock has expired meanwhile is back already.
                        with suppress(MessageLockLostError):
                            await receiver.abandon_message(message)

    async def probe(self, queue: str) -> Probe:
        """Open a queue for receiving, and for sending where people may send to it; do neither.

        Raises:
            Unavailable: It does not exist or does not answer.
            NotAuthorized: Our identity may not use it.
        """
        with mapped(queue):
            async with self._client() as client:
                if queue != PARKED.name:  # only the functions send there: whoever asks needs no such right
                    async with client.get_queue_sender(queue) as sender:
                        # The size limit is known only once the link is open.
                        await sender.create_message_batch()
                async with client.get_queue_receiver(queue) as receiver:
                    # The first question opens a link of its own; the second shows what a question takes.
                    await receiver.peek_messages(max_message_count=1, timeout=30)
                    started = time.monotonic()
                    # From the beginning: without a number, or with 0, the SDK goes on after what it last showed.
                    messages = await receiver.peek_messages(max_message_count=1, sequence_number=1, timeout=30)
                    seconds = time.monotonic() - started
        return Probe(messages[0].enqueued_time_utc if messages else None, seconds)

    async def survey(self, queue: str, at_most: int = 5000) -> Survey:
        """Count by peeking, page by page, which needs no more than the right to receive.

        Raises:
            Unavailable: The queue cannot be read.
            NotAuthorized: Our identity may not receive from it.
        """
        from azure.servicebus import ServiceBusMessageState, ServiceBusSubQueue

        with mapped(queue):
            async with self._client() as client:
                async with client.get_queue_receiver(queue) as receiver:
                    messages, more = await _peeked(receiver, at_most)
                async with client.get_queue_receiver(queue, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
                    dead, more_dead = await _peeked(receiver, at_most)
        waiting = [one for one in messages if one.state is not ServiceBusMessageState.SCHEDULED]
        return Survey(
            waiting=len(waiting),
            scheduled=len(messages) - len(waiting),
            dead=len(dead),
            oldest=_oldest_of(waiting),
            oldest_dead=_oldest_of(dead),
            more=more or more_dead,
        )

    def _client(self) -> ServiceBusClient:
        return make_client(self._settings, self._credential)


async def _peeked(receiver: ServiceBusReceiver, at_most: int) -> tuple[list[ServiceBusReceivedMessage], bool]:
    """The first messages, and whether there are more than were asked for."""
    found: list[ServiceBusReceivedMessage] = []
    after = 0
    while messages := await receiver.peek_messages(max_message_count=_PAGE, sequence_number=after, timeout=30):
        found.extend(messages)
        if len(found) >= at_most:
            return found, True
        after = max(message.sequence_number or 0 for message in messages) + 1
    return found, False


def _oldest_of(messages: Sequence[ServiceBusReceivedMessage]) -> datetime | None:
    times = [one.enqueued_time_utc.astimezone(UTC) for one in messages if one.enqueued_time_utc is not None]
    return min(times, default=None)


class _Taken:
    """A locked message and the receiver that settles it."""

    def __init__(self, queue: str, receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage) -> None:
        self._queue = queue
        self._receiver = receiver
        self._message = message
        self.message = _waiting(message)

    async def complete(self) -> None:
        """Take the message off the queue."""
        with mapped(self._queue):
            await self._receiver.complete_message(self._message)

    async def give_back(self) -> None:
        """Leave the message on the queue."""
        with mapped(self._queue):
            await self._receiver.abandon_message(self._message)


def _waiting(message: ServiceBusReceivedMessage) -> Waiting:
    return Waiting(
        sequence=message.sequence_number or 0,
        body=body_of(message),
        properties=_properties(message.application_properties),
        enqueued_at=(message.enqueued_time_utc or datetime.now(UTC)).astimezone(UTC),
        message_id=str(message.message_id or ""),
    )


def _properties(raw: Mapping[Any, Any] | None) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    for name, value in (raw or {}).items():
        shown = value.decode(errors="replace") if isinstance(value, bytes) else value
        key = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        found[key] = shown if isinstance(shown, (str, int)) else str(shown)
    return found
