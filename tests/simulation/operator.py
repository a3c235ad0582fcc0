"""An operator who replays parked messages, mended or not."""

import asyncio
from collections.abc import Callable, Mapping
from random import Random

from shared.domain.messages.events import parse_event
from shared.flows.ports.engine import Outgoing
from tests.simulation.queues import Queues
from tests.simulation.trace import Trace


class Operator:
    """Now and then takes one of the parked messages and sends it to where it came from."""

    def __init__(
        self, queues: Queues, rng: Random, trace: Trace, accepted: Callable[[Mapping[str, object]], None]
    ) -> None:
        """`accepted` hears of each replay, with the parked message's properties."""
        self._accepted = accepted
        self._queues = queues
        self._rng = rng
        self._trace = trace

    async def work(self) -> None:
        """Replay for ever; the parked message stays where it is, as if the operator's machine had died then."""
        while True:
            await asyncio.sleep(self._rng.uniform(20.0, 400.0))
            parked = await self._queues.parked()
            if not parked:
                continue
            message = self._rng.choice(parked).message
            fresh = {"attempt": 0, "deferrals": 0, "firstenqueued": None}
            history = str(message.application_properties.get("history", "[]"))
            copy = parse_event(message.body).model_copy(update={**fresh, "history": history})
            self._trace("operator", f"replays {message.application_properties.get('key')}")
            self._accepted({str(name): value for name, value in message.application_properties.items()})
            await self._queues.send(str(message.application_properties["source_queue"]), [Outgoing(copy.to_json())])
