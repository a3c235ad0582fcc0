"""The CMMS's relay: unsent messages in order; after a crash between sending and marking, the same ones again."""

import asyncio
from random import Random

from shared.flows.ports.engine import Outgoing
from tests.simulation.cmms_model import CmmsModel
from tests.simulation.queues import Queues
from tests.simulation.weather import Weather


class Relay:
    """One relay at work."""

    def __init__(self, cmms: CmmsModel, queues: Queues, weather: Weather, rng: Random) -> None:
        self._cmms = cmms
        self._queues = queues
        self._weather = weather
        self._rng = rng

    async def work(self) -> None:
        """Send for ever."""
        while True:
            if all(message.sent for message in self._cmms.outbox):
                self._cmms.news.clear()
                await self._cmms.news.wait()
            await asyncio.sleep(self._rng.uniform(0.5, 2.0))
            for queue in ("assets", "orders"):
                unsent = [message for message in self._cmms.outbox if not message.sent and message.queue == queue]
                if not unsent:
                    continue
                await self._queues.send(queue, [Outgoing(one.body, message_id=one.id) for one in unsent])
                if self._rng.random() >= self._weather.relay_again:
                    for message in unsent:
                        message.sent = True
