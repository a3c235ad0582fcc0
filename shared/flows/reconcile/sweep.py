"""The full pass: both sides and the ledger as sketches, compared by SQL; what differs is looked at closely."""

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine, Sequence
from typing import Any, Final

from shared.domain.mapping import EntityMapping
from shared.domain.sketch import Sketcher
from shared.flows.ports import Cmms, Dynamics, Ledger
from shared.flows.reconcile.report import EntityReport
from shared.flows.reconcile.staging import AGREED, DELETED, OPEN, LedgerRow, Staging

CHUNK: Final = 500
# What reading a row that was edited by hand may come to.
_UNREADABLE: Final = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


class Sweep:
    """One entity's full pass. `link` is the delta link that the pass ended in, None where changes are not tracked."""

    def __init__(self, ledger: Ledger, dynamics: Dynamics, cmms: Cmms, entity: EntityMapping) -> None:
        self._ledger = ledger
        self._dynamics = dynamics
        self._cmms = cmms
        self._entity = entity
        self.link: str | None = None
        self.doubled: dict[str, int] = {}

    async def candidates(self, report: EntityReport) -> AsyncGenerator[list[str]]:
        """The keys to look at closely, a chunk at a time; fills in the report's counts.

        The three are read at the same time, in no order: a record that changes meanwhile differs from what the ledger
        remembers and is looked at, or it changes after it was read, and the next run's delta tells.

        Raises:
            TransientError: One could not be read to its end; nothing is known.
        """
        with Staging() as staging:
            await _all(
                self._load_ledger(staging, report),
                self._load_dynamics(staging, report),
                self._load_cmms(staging, report),
            )
            staging.join()
            report.ledger_rows = staging.ledger_rows
            report.compared = max(staging.ledger_rows, staging.dynamics_rows, staging.cmms_rows)
            self.doubled = staging.doubled()
            for chunk in staging.candidates(CHUNK):
                yield chunk

    async def _load_ledger(self, staging: Staging, report: EntityReport) -> None:
        sketcher = Sketcher(self._entity)
        async for page in self._ledger.bodies(self._entity.name):
            staging.add_ledger(row for row in _ledger_rows(page, sketcher) if row is not None)
            report.pages += 1
            # A store on this machine never waits by itself: the other two must get their turn.
            await asyncio.sleep(0)

    async def _load_dynamics(self, staging: Staging, report: EntityReport) -> None:
        async for page in self._dynamics.sketches(self._entity):
            staging.add_dynamics(page.rows)
            report.pages += 1
            self.link = page.link or self.link

    async def _load_cmms(self, staging: Staging, report: EntityReport) -> None:
        async for page in self._cmms.sketches(self._entity):
            staging.add_cmms(page)
            report.pages += 1


async def _all(*loads: Coroutine[Any, Any, None]) -> None:
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


def _ledger_rows(page: Sequence[tuple[str, str]], sketcher: Sketcher) -> list[LedgerRow | None]:
    """A page's rows: read as one text, which is fast, unless one of them is not as it should be."""
    try:
        entries = json.loads(f"[{','.join([body for _, body in page])}]")
        if [entry["key"] for entry in entries] == [key for key, _ in page]:
            return [_ledger_row(entry, sketcher) for entry in entries]
    except _UNREADABLE:
        pass  # one by one, then
    return [_one_row(key, body, sketcher) for key, body in page]


def _one_row(key: str, body: str, sketcher: Sketcher) -> LedgerRow | None:
    """An entry's row; one that cannot be read is open, so that it is looked at closely, and reported there."""
    try:
        entry = json.loads(body)
        if entry["key"] == key:
            return _ledger_row(entry, sketcher)
    except _UNREADABLE:
        pass  # as if it were of another key
    return (key, None, None, None, OPEN)


def _ledger_row(entry: dict[str, Any], sketcher: Sketcher) -> LedgerRow | None:
    """An entry's row; None for a key that the record no longer has."""
    if entry.get("moved_to") is not None:
        return None
    kind = OPEN if entry.get("intents") else DELETED if entry.get("deleted_at") else AGREED
    return (entry["key"], entry.get("dynamics_id"), *sketcher.bases(entry.get("bases", {})), kind)
