"""A queue in service: its receivers, and the timer for what falls due."""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from local.emulators.servicebus.amqp.message import Message
from local.emulators.servicebus.entry import Entry
from local.emulators.servicebus.queue import Queue
from local.emulators.servicebus.sessions import SessionLock

_ROUND = 16  # messages per receiver and round, so that receivers share what is waiting


class Consumer(Protocol):
    """A link on which messages leave."""

    deletes: bool
    hold: SessionLock | None
    """The session whose messages it takes; None on a queue without sessions."""

    def prepare(self) -> None:
        """Learn that the queue is about to hand out: take a session that has become free, notice a lost one."""
        ...

    def capacity(self) -> int:
        """How many messages it can take now."""
        ...

    def deliver(self, entry: Entry[Message]) -> None:
        """Send a message that is locked, or removed, for this consumer."""
        ...

    def exhausted(self) -> None:
        """Learn that nothing more can be delivered now."""
        ...


class Outlet:
    """The messages of one queue or dead-letter queue, handed out to its consumers in turn."""

    def __init__(self, queue: Queue[Message], on_change: Callable[[], None]) -> None:
        self.queue = queue
        self.touch = on_change
        self.consumers: deque[Consumer] = deque()

    def pump(self) -> None:
        """Hand out what is waiting, as far as the consumers' capacity goes."""
        for consumer in list(self.consumers):
            consumer.prepare()
        busy = True
        while busy:
            busy = False
            for consumer in list(self.consumers):
                room = min(consumer.capacity(), _ROUND)
                entries = []
                if room > 0:
                    entries = self.queue.receive(room, delete=consumer.deletes, session=consumer.hold)
                for entry in entries:
                    consumer.deliver(entry)
                busy = busy or bool(entries)
            self.consumers.rotate(-1)
        for consumer in list(self.consumers):
            consumer.exhausted()


class Entity:
    """One queue with its dead-letter queues, all in service.

    `transfer` holds the dead letters of forwarding, which this broker does not do: it is there, and empty.
    """

    def __init__(self, queue: Queue[Message], clock: Callable[[], datetime]) -> None:
        if queue.dead_letters is None:
            raise ValueError("An entity is made of a main queue, which brings its dead-letter queue.")
        self.queue = queue
        self.main = Outlet(queue, self.touch)
        self.dead_letters = Outlet(queue.dead_letters, self.touch)
        self.transfer = Outlet(Queue(queue.settings, clock, is_dead_letter_queue=True), self.touch)
        self._clock = clock
        self._pump_soon: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None

    def touch(self) -> None:
        """Note that something changed; the hand-out follows once in this turn of the event loop."""
        if self._pump_soon is None:
            self._pump_soon = asyncio.get_running_loop().call_soon(self._pump)

    def close(self) -> None:
        """Stop handing out."""
        for handle in (self._pump_soon, self._timer):
            if handle is not None:
                handle.cancel()
        self._pump_soon = self._timer = None

    def _pump(self) -> None:
        self._pump_soon = None
        self.main.pump()
        self.dead_letters.pump()
        self.transfer.pump()
        due = self.queue.next_due()
        if due is None:
            return
        loop = asyncio.get_running_loop()
        at = loop.time() + max((due - self._clock()).total_seconds(), 0.001)
        if self._timer is None or self._timer.when() > at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.queue.advance()
        self._pump()
