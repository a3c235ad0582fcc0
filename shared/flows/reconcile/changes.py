"""The incremental pass: the keys that changed on either side since the last run."""

from datetime import datetime, timedelta
from typing import Final

from shared.domain.schema.mapping import EntityMapping
from shared.flows.ports.engine import Cmms, Dynamics, Ledger
from shared.flows.reconcile.report import EntityReport

OVERLAP: Final = timedelta(minutes=10)
"""How far behind its watermark the CMMS is asked: longer than its longest transaction and the clocks' difference."""

_CHUNK: Final = 500


class Changes:
    """One entity's changed keys. `link` is where the next run goes on."""

    def __init__(self, ledger: Ledger, dynamics: Dynamics, cmms: Cmms, entity: EntityMapping) -> None:
        self._ledger = ledger
        self._dynamics = dynamics
        self._cmms = cmms
        self._entity = entity
        self.link: str | None = None

    async def keys(self, link: str | None, since: datetime, report: EntityReport) -> list[str]:
        """Every key that changed, each once. Without a link only the CMMS is asked.

        Raises:
            DeltaRefused: Dynamics no longer knows the link: a full pass is due.
            TransientError: A side or the ledger could not be read.
        """
        found: dict[str, None] = {}
        if link is not None:
            ids = await self._dynamics_ids(link, report)
            bound: dict[str, str] = {}
            listed = list(ids)
            for start in range(0, len(listed), _CHUNK):
                bound |= await self._ledger.keys_of(self._entity.name, listed[start : start + _CHUNK])
            # A row that is gone and was never bound was never ours.
            keys = (bound.get(row_id, key) for row_id, key in ids.items())
            found.update((key, None) for key in keys if key is not None)
            # A row whose key was changed is looked at under both: the new one may be another record's.
            found.update((key, None) for key in ids.values() if key)
        async for page in self._cmms.changed_since(self._entity, since - OVERLAP):
            report.pages += 1
            found.update((key, None) for key in page)
        return list(found)

    async def newest_link(self, link: str, report: EntityReport) -> str | None:
        """The link of this moment, for what will change from now on."""
        await self._dynamics_ids(link, report)
        return self.link

    async def _dynamics_ids(self, link: str, report: EntityReport) -> dict[str, str | None]:
        """The changed ids with their rows' keys; None for those that are gone."""
        ids: dict[str, str | None] = {}
        async for page in self._dynamics.changes(self._entity, link):
            report.pages += 1
            ids.update(page.changed)
            ids.update((row_id, None) for row_id in page.deleted)
            self.link = page.link or self.link
        return ids
