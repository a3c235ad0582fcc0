"""A broker on a thread of its own, so that tests and the SDK they use can block."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusSender
from azure.servicebus.amqp import AmqpAnnotatedMessage

from local.emulators.servicebus import Broker, QueueSettings


class RunningBroker:
    """A broker and a client for it, whose senders stay open: opening one takes half a second."""

    def __init__(self, broker: Broker, resources: ExitStack) -> None:
        self.broker = broker
        self.connection_string = broker.connection_string
        self._resources = resources
        self._client: ServiceBusClient | None = None
        self._senders: dict[str, ServiceBusSender] = {}

    def send(self, queue: str, messages: Sequence[ServiceBusMessage | AmqpAnnotatedMessage]) -> None:
        """Send all in one transfer, so that one batch can have them all."""
        if self._client is None:
            self._client = self._resources.enter_context(
                ServiceBusClient.from_connection_string(self.connection_string)
            )
        if queue not in self._senders:
            self._senders[queue] = self._resources.enter_context(self._client.get_queue_sender(queue))
        self._senders[queue].send_messages(list(messages))  # type: ignore[arg-type]  # it takes a mixture

    def waiting(self, queue: str) -> int:
        counts = self.broker.counts(queue)
        return counts.active + counts.locked

    def dead(self, queue: str) -> int:
        return self.broker.counts(queue).dead_lettered


@contextmanager
def running_broker(queues: Sequence[QueueSettings], port: int = 0) -> Iterator[RunningBroker]:
    """A broker with these queues, listening until the context ends."""
    broker = Broker(queues, port=port)
    started = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with broker:
            started.set()
            await stop.wait()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert started.wait(60)
        with ExitStack() as resources:
            yield RunningBroker(broker, resources)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
