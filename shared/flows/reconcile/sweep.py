"""The full pass: both sides and the ledger as sketches, compared by SQL; what differs is looked at closely."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from types import NoneType
from typing import Any, Final

import orjson

from shared.domain.schema.mapping import EntityMapping
from shared.domain.sketch import Sketcher
from shared.flows.ports.engine import Cmms, Dynamics, Ledger
from shared.flows.reconcile.report import EntityReport
from shared.flows.reconcile.staging import AGREED, DELETED, OPEN, LedgerRow, Staging

CHUNK: Final = 500
OBJECTS: Final = 100_000
"""Objects that the collector waits for while pages are read: more than the largest pages of all three have."""
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
            with _seldom_collected():
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
            staging.add_ledger(_ledger_rows(page, sketcher))
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


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Look for circles of garbage less often: pages make millions of objects and no circle, and go by themselves."""
    usual = gc.get_threshold()
    gc.set_threshold(max(OBJECTS, usual[0]), *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


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


def _ledger_rows(page: Sequence[tuple[str, str]], sketcher: Sketcher) -> list[LedgerRow]:
    """A page's rows: read as one text, which is fast, unless one of them is not as it should be."""
    try:
        return _rows([key for key, _ in page], f"[{','.join([body for _, body in page])}]", sketcher)
    except _UNREADABLE:
        return [row for key, body in page for row in _one_row(key, body, sketcher)]


def _one_row(key: str, body: str, sketcher: Sketcher) -> list[LedgerRow]:
    """An entry's row; one that cannot be read is open, so that it is looked at closely, and reported there."""
    try:
        return _rows([key], f"[{body}]", sketcher)
    except _UNREADABLE:
        return [(key, None, None, None, OPEN)]


def _rows(keys: list[str], text: str, sketcher: Sketcher) -> list[LedgerRow]:
    """The entries' rows, without those of keys that their records no longer have."""
    entries = orjson.loads(text)
    if [entry["key"] for entry in entries] != keys:
        raise ValueError("an entry lies under another's key")
    present = [entry for entry in entries if entry.get("moved_to") is None]
    ids = [entry.get("dynamics_id") for entry in present]
    if not {str, NoneType}.issuperset(map(type, ids)):
        raise TypeError("a Dynamics id is no text")
    sketches = sketcher.bases([entry.get("bases", {}) for entry in present])
    return [
        (
            entry["key"],
            row_id,
            *both,
            OPEN if entry.get("intents") else DELETED if entry.get("deleted_at") else AGREED,
        )
        for entry, row_id, both in zip(present, ids, sketches, strict=True)
    ]
