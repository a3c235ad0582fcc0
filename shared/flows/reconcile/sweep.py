"""The full pass: both sides and the ledger as row hashes, compared by SQL; what differs is looked at closely."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, Final

from shared.domain.link import Identity
from shared.domain.schema.mapping import EntityMapping
from shared.flows.ports.engine import Cmms, Dynamics, Ledger
from shared.flows.reconcile.report import EntityReport
from shared.flows.reconcile.staging import Staging

CHUNK: Final = 500


class Sweep:
    """One entity's full pass. `link` is the delta link that the pass ended in, None where changes are not tracked."""

    def __init__(self, ledger: Ledger, dynamics: Dynamics, cmms: Cmms, entity: EntityMapping) -> None:
        self._ledger = ledger
        self._dynamics = dynamics
        self._cmms = cmms
        self._entity = entity
        self.link: str | None = None
        self.doubled: dict[str, int] = {}

    async def candidates(self, report: EntityReport, *, unmet: bool = True) -> AsyncGenerator[list[Identity]]:
        """The records to look at closely, a chunk at a time; fills in the report's counts.

        Without `unmet` those that the ledger does not know are passed over.

        The three are read at the same time, in no order: a record that changes meanwhile differs from what the ledger
        remembers and is looked at, or it changes after it was read, and the next run's delta tells.

        Raises:
            TransientError: One could not be read to its end; nothing is known.
        """
        with Staging() as staging:
            await together(
                self._load_ledger(staging, report),
                self._load_dynamics(staging, report),
                self._load_cmms(staging, report),
            )
            staging.join()
            report.ledger_rows = staging.ledger_rows
            report.compared = max(staging.ledger_rows, staging.dynamics_rows, staging.cmms_rows)
            self.doubled = staging.doubled()
            for chunk in staging.candidates(CHUNK, unmet=unmet):
                yield chunk

    async def _load_ledger(self, staging: Staging, report: EntityReport) -> None:
        async for page in self._ledger.hashes(self._entity.name):
            staging.add_ledger(page)
            report.pages += 1
            # A store on this machine never waits by itself: the other two must get their turn.
            await asyncio.sleep(0)

    async def _load_dynamics(self, staging: Staging, report: EntityReport) -> None:
        async for page in self._dynamics.hashes(self._entity):
            staging.add_dynamics(page.rows)
            report.pages += 1
            self.link = page.link or self.link

    async def _load_cmms(self, staging: Staging, report: EntityReport) -> None:
        async for page in self._cmms.hashes(self._entity):
            staging.add_cmms(page)
            report.pages += 1


async def together(*loads: Coroutine[Any, Any, None]) -> None:
    """Do all of them to the end, or end them all: half a table must never pass for a whole one.

    Not a TaskGroup, which takes a task that was cancelled for one that is done.
    """
    tasks = [asyncio.ensure_future(load) for load in loads]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
