"""One set of verbs for two buses: the real SDK against the broker, and the bus in memory."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from azure.servicebus import (
    ServiceBusMessage,
    ServiceBusReceivedMessage,
    ServiceBusReceiveMode,
    ServiceBusSubQueue,
)
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender
from azure.servicebus.exceptions import MessageLockLostError, MessageNotFoundError

from local.emulators.servicebus import Broker, Counts, QueueSettings
from local.emulators.servicebus.errors import LockLostError
from local.emulators.servicebus.errors import MessageNotFoundError as NotFoundError
from local.emulators.servicebus.memory import BusMessage, Delivery, MemoryBus, Settlement

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Received:
    """A received message, whichever bus it came from; `raw` is what that bus settles."""

    body: str
    message_id: str | None
    sequence_number: int
    delivery_count: int
    reason: str | None
    description: str | None
    raw: Any


class Driver(ABC):
    """The verbs. Errors are those of `local.emulators.servicebus.errors`, which the SDK's are mapped to."""

    def __init__(self, queues: Sequence[QueueSettings]) -> None:
        self._fresh = [each.name for each in queues]

    def queue(self, kind: str) -> str:
        """A queue of the kind (the name's first word) that no test has used."""
        name = next(each for each in self._fresh if each.split("-")[0] == kind)
        self._fresh.remove(name)
        return name

    @abstractmethod
    async def send(self, queue: str, *messages: BusMessage) -> None: ...

    @abstractmethod
    async def schedule(self, queue: str, message: BusMessage, after: float) -> int: ...

    @abstractmethod
    async def cancel(self, queue: str, sequence_number: int) -> None: ...

    @abstractmethod
    async def receive(
        self, queue: str, limit: int = 1, *, dead_letters: bool = False, delete: bool = False
    ) -> list[Received]: ...

    @abstractmethod
    async def is_empty(self, queue: str) -> bool: ...

    @abstractmethod
    async def receive_deferred(self, queue: str, sequence_numbers: Sequence[int]) -> list[Received]: ...

    @abstractmethod
    async def settle(
        self, queue: str, received: Received, how: str, reason: str | None = None, description: str | None = None
    ) -> None: ...

    @abstractmethod
    async def renew(self, queue: str, received: Received) -> datetime: ...

    @abstractmethod
    async def peek(self, queue: str, limit: int = 10, *, dead_letters: bool = False) -> list[Received]: ...

    @abstractmethod
    async def pass_time(self, seconds: float) -> None: ...

    @abstractmethod
    def now(self) -> datetime: ...

    @abstractmethod
    def counts(self, queue: str) -> Counts: ...


class MemoryDriver(Driver):
    """The bus in memory under a clock that only `pass_time` moves."""

    def __init__(self, queues: Sequence[QueueSettings]) -> None:
        super().__init__(queues)
        self._time = START
        self._bus = MemoryBus(queues, self.now)

    async def send(self, queue: str, *messages: BusMessage) -> None:
        await self._bus.send(queue, messages)

    async def schedule(self, queue: str, message: BusMessage, after: float) -> int:
        due = self._time + timedelta(seconds=after)
        (number,) = await self._bus.send(queue, [BusMessage(message.body, message.message_id, scheduled_for=due)])
        return number

    async def cancel(self, queue: str, sequence_number: int) -> None:
        await self._bus.cancel_scheduled(queue, [sequence_number])

    async def receive(
        self, queue: str, limit: int = 1, *, dead_letters: bool = False, delete: bool = False
    ) -> list[Received]:
        deliveries = await self._bus.receive_batch(queue, limit, dead_letters=dead_letters, delete=delete)
        return [self._received(each) for each in deliveries]

    async def is_empty(self, queue: str) -> bool:
        return not await self._bus.receive_batch(queue, 1)

    async def receive_deferred(self, queue: str, sequence_numbers: Sequence[int]) -> list[Received]:
        return [self._received(each) for each in await self._bus.receive_deferred(queue, sequence_numbers)]

    async def settle(
        self, queue: str, received: Received, how: str, reason: str | None = None, description: str | None = None
    ) -> None:
        await self._bus.settle(received.raw, Settlement(how), reason, description)

    async def renew(self, queue: str, received: Received) -> datetime:
        return await self._bus.renew(received.raw)

    async def peek(self, queue: str, limit: int = 10, *, dead_letters: bool = False) -> list[Received]:
        return [self._received(each) for each in await self._bus.peek(queue, limit, dead_letters=dead_letters)]

    async def pass_time(self, seconds: float) -> None:
        self._time += timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self._time

    def counts(self, queue: str) -> Counts:
        return self._bus.counts(queue)

    @staticmethod
    def _received(delivery: Delivery) -> Received:
        return Received(
            body=delivery.message.body.decode(),
            message_id=delivery.message.message_id,
            sequence_number=delivery.sequence_number,
            delivery_count=delivery.delivery_count,
            reason=delivery.dead_letter_reason,
            description=delivery.dead_letter_description,
            raw=delivery,
        )


class ShiftedClock:
    """The real time and more: a test moves the broker's time ahead instead of waiting.

    The SDK goes on by the wall clock and so believes in locks that have ended: the broker has to tell it.
    """

    def __init__(self) -> None:
        self.shift = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.shift


class SdkDriver(Driver):
    """The asyncio SDK against the broker. Opening and closing a link takes a second: all are done together."""

    def __init__(self, broker: Broker, queues: Sequence[QueueSettings], clock: ShiftedClock | None = None) -> None:
        super().__init__(queues)
        self._clock = clock or ShiftedClock()
        self._broker = broker
        self._client = ServiceBusClient.from_connection_string(broker.connection_string, retry_total=0)
        self._senders: dict[str, ServiceBusSender] = {}
        self._receivers: dict[tuple[str, bool, bool], ServiceBusReceiver] = {}

    async def open(self) -> None:
        links = [link for name in self._fresh for link in (self.sender(name), self.receiver(name))]
        await asyncio.gather(*(link.__aenter__() for link in links))

    async def close(self) -> None:
        await asyncio.gather(*(link.close() for link in [*self._senders.values(), *self._receivers.values()]))
        await self._client.close()

    def sender(self, queue: str) -> ServiceBusSender:
        if queue not in self._senders:
            self._senders[queue] = self._client.get_queue_sender(queue)
        return self._senders[queue]

    def receiver(self, queue: str, *, dead_letters: bool = False, delete: bool = False) -> ServiceBusReceiver:
        key = (queue, dead_letters, delete)
        if key not in self._receivers:
            mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE if delete else ServiceBusReceiveMode.PEEK_LOCK
            sub_queue = ServiceBusSubQueue.DEAD_LETTER if dead_letters else None
            self._receivers[key] = self._client.get_queue_receiver(queue, receive_mode=mode, sub_queue=sub_queue)
        return self._receivers[key]

    async def send(self, queue: str, *messages: BusMessage) -> None:
        await self.sender(queue).send_messages([_outgoing(message) for message in messages])

    async def schedule(self, queue: str, message: BusMessage, after: float) -> int:
        due = self.now() + timedelta(seconds=after)
        return (await self.sender(queue).schedule_messages(_outgoing(message), due))[0]

    async def cancel(self, queue: str, sequence_number: int) -> None:
        with _mapped_errors():
            await self.sender(queue).cancel_scheduled_messages(sequence_number)

    async def receive(
        self, queue: str, limit: int = 1, *, dead_letters: bool = False, delete: bool = False
    ) -> list[Received]:
        receiver = self.receiver(queue, dead_letters=dead_letters, delete=delete)
        return [_received(each) for each in await receiver.receive_messages(limit, max_wait_time=30)]

    async def is_empty(self, queue: str) -> bool:
        return not await self.receiver(queue).receive_messages(1, max_wait_time=0.3)

    async def receive_deferred(self, queue: str, sequence_numbers: Sequence[int]) -> list[Received]:
        with _mapped_errors():
            messages = await self.receiver(queue).receive_deferred_messages(list(sequence_numbers))
        return [_received(each) for each in messages]

    async def settle(
        self, queue: str, received: Received, how: str, reason: str | None = None, description: str | None = None
    ) -> None:
        receiver = received.raw._receiver
        with _mapped_errors():
            match how:
                case "complete":
                    await receiver.complete_message(received.raw)
                case "abandon":
                    await receiver.abandon_message(received.raw)
                case "defer":
                    await receiver.defer_message(received.raw)
                case "dead-letter":
                    await receiver.dead_letter_message(received.raw, reason=reason, error_description=description)

    async def renew(self, queue: str, received: Received) -> datetime:
        with _mapped_errors():
            end: datetime = await received.raw._receiver.renew_message_lock(received.raw)
        return end

    async def peek(self, queue: str, limit: int = 10, *, dead_letters: bool = False) -> list[Received]:
        receiver = self.receiver(queue, dead_letters=dead_letters)
        return [_received(each) for each in await receiver.peek_messages(limit, sequence_number=1)]

    async def pass_time(self, seconds: float) -> None:
        self._clock.shift += timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self._clock()

    def counts(self, queue: str) -> Counts:
        return self._broker.counts(queue)


@contextmanager
def _mapped_errors() -> Iterator[None]:
    try:
        yield
    except MessageLockLostError as error:
        raise LockLostError(UUID(int=0)) from error
    except MessageNotFoundError as error:
        raise NotFoundError(0, "such") from error


def _outgoing(message: BusMessage) -> ServiceBusMessage:
    return ServiceBusMessage(
        message.body,
        message_id=message.message_id,
        application_properties=dict(message.application_properties) or None,  # type: ignore[arg-type]
        time_to_live=message.time_to_live,
        scheduled_enqueue_time_utc=message.scheduled_for,
    )


def _received(message: ServiceBusReceivedMessage) -> Received:
    return Received(
        body=str(message),
        message_id=message.message_id,
        sequence_number=message.sequence_number or 0,
        delivery_count=message.delivery_count or 0,
        reason=message.dead_letter_reason,
        description=message.dead_letter_error_description,
        raw=message,
    )
