"""The incremental pass: the records that changed on either side since the last run."""

from datetime import datetime, timedelta
from typing import Final

from shared.domain.link import Identity
from shared.domain.schema.mapping import EntityMapping
from shared.flows.ports.engine import Cmms, Dynamics
from shared.flows.reconcile.report import EntityReport

OVERLAP: Final = timedelta(minutes=10)
"""How far behind its watermark the CMMS is asked: longer than its longest transaction and the clocks' difference."""


class Changes:
    """One entity's changed records. `link` is where the next run goes on."""

    def __init__(self, dynamics: Dynamics, cmms: Cmms, entity: EntityMapping) -> None:
        self._dynamics = dynamics
        self._cmms = cmms
        self._entity = entity
        self.link: str | None = None

    async def since(self, link: str | None, since: datetime, report: EntityReport) -> list[Identity]:
        """Every record that changed, by the id of the side that changed. Without a link only the CMMS is asked.

        Raises:
            DeltaRefused: Dynamics no longer knows the link: a full pass is due.
            TransientError: A side could not be read.
        """
        found: dict[Identity, None] = {}
        if link is not None:
            found.update(dict.fromkeys(await self._rows(link, report)))
        async for page in self._cmms.changed_since(self._entity, since - OVERLAP):
            report.pages += 1
            found.update((Identity("cmms", record_id), None) for record_id in page)
        return list(found)

    async def newest_link(self, link: str, report: EntityReport) -> str | None:
        """The link of this moment, for what will change from now on."""
        await self._rows(link, report)
        return self.link

    async def _rows(self, link: str, report: EntityReport) -> list[Identity]:
        found: list[Identity] = []
        async for page in self._dynamics.changes(self._entity, link):
            report.pages += 1
            found += [Identity("row", row_id) for row_id in (*page.changed, *page.deleted)]
            self.link = page.link or self.link
        return found
