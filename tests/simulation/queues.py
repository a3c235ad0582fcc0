"""The product's queues in memory, with the broker's semantics, and a bell for those who wait for messages."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

from local.emulators.servicebus.memory import BusMessage, Delivery, MemoryBus, Mischief, Settlement
from local.emulators.servicebus.settings import QueueSettings
from shared.domain.messages.queues import ALL, PARKED
from shared.flows.ports.engine import Outgoing
from tests.simulation.process import START, world_time
from tests.simulation.weather import Weather


class Queues:
    """One namespace. `sent` counts the messages that were accepted."""

    def __init__(self, weather: Weather, seed: int) -> None:
        self._mischief = Mischief(
            seed=seed,
            resend=weather.resend,
            lose_lock=weather.lose_lock,
            reorder=weather.reorder,
            delay=weather.delay,
        )
        self.bus = MemoryBus(
            [
                QueueSettings(
                    queue.name,
                    lock_duration=queue.lock_duration,
                    max_delivery_count=queue.max_delivery_count,
                    duplicate_window=queue.duplicate_window,
                    time_to_live=queue.time_to_live,
                )
                for queue in ALL
            ],
            world_time,
            self._mischief,
        )
        self.sent = 0
        self._waiting: list[asyncio.Future[None]] = []

    def calm(self) -> None:
        """Deliver faithfully from now on."""
        self.bus._mischief = Mischief()

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        """Accept messages; one without an id gets a random one, as the product's sender does."""
        await self.bus.send(
            queue,
            [
                BusMessage(
                    message.body.encode() if isinstance(message.body, str) else message.body,
                    message.message_id or str(uuid4()),
                    dict(message.properties),
                    scheduled_for=message.scheduled_at,
                )
                for message in messages
            ],
        )
        self.sent += len(messages)
        self.ring()

    async def take(self, queue: str, limit: int) -> list[Delivery]:
        """Up to `limit` messages, locked; waits until there is one."""
        while not (taken := await self.bus.receive_batch(queue, limit)):
            await self._wait(queue)
        return taken

    async def settle(self, delivery: Delivery, how: Settlement) -> None:
        """Settle a delivery, unless its lock has been lost."""
        await self.bus.settle(delivery, how)
        self.ring()

    def ring(self) -> None:
        """Wake everybody who waits."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()

    @property
    def busy(self) -> int:
        """Messages that are still on their way to an outcome."""
        counts = [self.bus.counts(queue.name) for queue in ALL if queue is not PARKED]
        return sum(count.active + count.scheduled + count.locked + count.deferred for count in counts)

    @property
    def dead(self) -> int:
        """Messages that the broker gave up."""
        return sum(self.bus.counts(queue.name).dead_lettered for queue in ALL)

    async def parked(self) -> list[Delivery]:
        """Every parked message."""
        return await self.bus.peek(PARKED.name, 10_000)

    async def _wait(self, queue: str) -> None:
        loop = asyncio.get_running_loop()
        bell: asyncio.Future[None] = loop.create_future()
        self._waiting.append(bell)
        due = self.bus._queue(queue).next_due()
        # A microsecond more, because instants are rounded to them.
        rest = (due - START).total_seconds() - loop.time() + 1e-5 if due is not None else None
        timer = loop.call_later(max(rest, 1e-5), self.ring) if rest is not None else None
        try:
            await bell
        finally:
            if timer is not None:
                timer.cancel()
