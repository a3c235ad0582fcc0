"""Reads both sides and the ledger into the temporary file."""

import asyncio
from collections.abc import Callable
from copy import replace
from datetime import datetime

from shared.domain.model import DynamicsRecord
from shared.domain.schema.mapping import EntityMapping
from shared.flows.operate.first_sync.staging import Staging
from shared.flows.ports.engine import Cmms, Dynamics, Ledger
from shared.flows.reconcile.sweep import together

type Progress = Callable[[str, int], None]
"""Hears what was read, and how many more records."""


async def load(
    staging: Staging,
    entity: EntityMapping,
    *,
    ledger: Ledger,
    dynamics: Dynamics,
    cmms: Cmms,
    since: datetime | None,
    progress: Progress,
) -> frozenset[str]:
    """Read everything once; the three at the same time, since each mostly waits for its service.

    Args:
        staging: Where the records go.
        entity: The records' mapping.
        ledger: As the other two, what is read.
        dynamics: The rows.
        cmms: The records.
        since: When the plan was made; what changed later is marked. None marks nothing.
        progress: Hears of each page.

    Returns:
        The fields whose columns are secured against our user: they are left out of every row, as in a sync.

    Raises:
        TransientError: One of the three could not be read to its end.
    """
    hidden = entity.read_from(await dynamics.unreadable(entity))
    usable = _usable(entity)

    async def links() -> None:
        async for page in ledger.hashes(entity.name):
            staging.add_links(page)
            progress("ledger", len(page))
            # A store on this machine never waits by itself: the other two must get their turn.
            await asyncio.sleep(0)

    async def records() -> None:
        async for page in cmms.pages(entity, staging.add_unreadable):
            staging.add_records((one, usable(one.key), _later(one.changed_at, since)) for one in page)
            progress("the CMMS", len(page))

    async def rows() -> None:
        async for page in dynamics.pages(entity):
            shown = [_without(row, hidden) for row in page]
            staging.add_rows((one, usable(one.key), _later(one.modified, since)) for one in shown)
            progress("Dynamics", len(page))

    await together(links(), records(), rows())
    staging.sort_out()
    return hidden


def _usable(entity: EntityMapping) -> Callable[[str], bool]:
    return lambda key: entity.key_error(key) is None


def _later(moment: datetime | None, since: datetime | None) -> bool:
    return moment is not None and since is not None and moment > since


def _without(row: DynamicsRecord, hidden: frozenset[str]) -> DynamicsRecord:
    if not hidden:
        return row
    return replace(row, values={name: value for name, value in row.values.items() if name not in hidden})
