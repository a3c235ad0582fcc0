"""What an operator's command works with on one machine: the ports of the product, each with that machine's troubles."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from shared.adapters.dataverse.admin.metadata import DataversePlatform
from shared.domain.schema.mapping import Mapping
from shared.flows.operate.parked import Waiting
from shared.flows.ports.engine import Clock, Dynamics
from shared.flows.routing.route import Router
from tests.simulation.queues import Queues
from tests.simulation.reach import Reach, ReachedLedger

MOST = 10_000


class SeenQueues:
    """The receiving side of the bus, as far as a command looks at queues without taking anything."""

    def __init__(self, queues: Queues, reach: Reach) -> None:
        self._queues = queues
        self._reach = reach

    async def peek(self, queue: str) -> AsyncIterator[list[Waiting]]:
        """As the port says, in one page."""
        found = await self._reach.call(f"peek at {queue}", lambda: self._queues.bus.peek(queue, MOST))
        yield [
            Waiting(
                one.sequence_number,
                one.message.body,
                {str(name): str(value) for name, value in one.message.application_properties.items()},
                one.enqueued_at,
            )
            for one in found
        ]


@dataclass(frozen=True)
class Desk:
    """One machine's ports, and the mapping that it was started with. `cmms` is None in one-way mode."""

    mapping: Mapping
    ledger: ReachedLedger
    dynamics: Dynamics
    cmms: Any
    platform: DataversePlatform
    router: Router
    queues: SeenQueues
    clock: Clock
