"""Drift: records on which the two sides differ although no message is under way. Found here, repaired by the engine.

Both sides are read page by page and compared by the engine's own plan, so that what is called drift is exactly what
a sync would write. Repairs are resync messages: the engine decides again, from what it then reads.
"""

import logging
import time
from collections import Counter
from collections.abc import Mapping as Map
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import uuid4

from shared.domain.drift import DriftClass, classify
from shared.domain.ledger import Entry
from shared.domain.mapping import EntityMapping, Mapping
from shared.domain.model import CmmsRecord, DynamicsRecord
from shared.domain.plan import Sides
from shared.domain.recovery import settle_intents
from shared.flows.ports import Clock, Cmms, Dynamics, Ledger
from shared.flows.route import Router

log = logging.getLogger(__name__)

SOURCE: Final = "/reconcile"


@dataclass(frozen=True)
class EntityReport:
    """One entity's result: how many records were compared, and which drifted, by class."""

    entity: str
    compared: int
    drift: Map[DriftClass, tuple[str, ...]]
    in_flight: int

    @property
    def drifted(self) -> int:
        """Records that drifted."""
        return sum(len(keys) for keys in self.drift.values())


@dataclass(frozen=True)
class Report:
    """One run. `seconds` is its duration; `repairs` counts the resync messages sent."""

    run: str
    seconds: float
    repairs: int
    entities: tuple[EntityReport, ...] = field(default=())


class Reconciler:
    """Compares both sides and enqueues repairs. Without the CMMS's API there is nothing to compare with."""

    def __init__(
        self,
        mapping: Mapping,
        ledger: Ledger,
        dynamics: Dynamics,
        cmms: Cmms | None,
        router: Router,
        *,
        clock: Clock,
        settle: timedelta,
    ) -> None:
        """`settle`: a record synced less than this ago may still be on its way, and is left to the next run."""
        self._mapping = mapping
        self._ledger = ledger
        self._dynamics = dynamics
        self._cmms = cmms
        self._router = router
        self._clock = clock
        self._settle = settle

    async def run(self) -> Report:
        """Compare everything once.

        Raises:
            TransientError: A side or the ledger could not be read; nothing was enqueued for that entity.
            RoutingFailed: The repairs could not be enqueued.
        """
        started = time.monotonic()
        run = str(uuid4())
        if self._cmms is None:
            log.info("Reconcile: nothing to compare, because CMMS_BASE_URL is not set (one-way mode)")
            return Report(run, 0.0, 0)
        reports: list[EntityReport] = []
        repairs = 0
        for entity in self._mapping.entities.values():
            report = await self._compare(entity, self._cmms)
            keys = [key for kind, found in report.drift.items() if kind.repairable for key in found]
            await self._router.resync(entity.name, keys, reason=f"drift found by run {run}", source=f"{SOURCE}/{run}")
            repairs += len(keys)
            reports.append(report)
            classes = ", ".join(f"{kind.value} {len(found)}" for kind, found in report.drift.items()) or "no drift"
            log.info(
                "Reconcile %s: %d compared, %s, %d in flight, %d repairs enqueued",
                entity.name, report.compared, classes, report.in_flight, len(keys),
            )  # fmt: skip
        return Report(run, time.monotonic() - started, repairs, tuple(reports))

    async def _compare(self, entity: EntityMapping, cmms: Cmms) -> EntityReport:
        # The ledger first: a base that is newer than the sides would make an agreement look like an edit.
        entries: dict[str, Entry] = {}
        async for page in self._ledger.scan(entity.name):
            entries.update((entry.key, entry) for entry in page if entry.moved_to is None)
        by_id: dict[str, DynamicsRecord] = {}
        by_key: dict[str, list[DynamicsRecord]] = {}
        async for rows in self._dynamics.pages(entity):
            for row in rows:
                by_id[row.id] = row
                by_key.setdefault(row.key, []).append(row)
        records: dict[str, CmmsRecord] = {}
        async for found in cmms.pages(entity):
            records.update((record.key, record) for record in found if not record.deleted)
        bound = {entry.dynamics_id: key for key, entry in entries.items() if entry.dynamics_id}
        keys = set(entries) | set(records)
        keys.update(row.key for row in by_id.values() if row.key and row.id not in bound)
        now = self._clock.now()
        drift: dict[DriftClass, list[str]] = {}
        in_flight = 0
        for key in sorted(keys):
            entry = entries.get(key) or Entry(key=key)
            if entry.live_intent(now) or (entry.last_sync is not None and now - entry.last_sync < self._settle):
                in_flight += 1
                continue
            bound_row = by_id.get(entry.dynamics_id or "")
            sides = Sides(records.get(key), tuple(by_key.get(key, ())), bound_row)
            settled = settle_intents(entry, sides.cmms, bound_row or next(iter(sides.rows), None), now)
            kind = classify(entity, settled, sides, now)
            if kind is not None:
                drift.setdefault(kind, []).append(key)
        return EntityReport(
            entity.name, len(keys), {kind: tuple(found) for kind, found in sorted(drift.items())}, in_flight
        )


def totals(report: Report) -> Counter[str]:
    """Drifted records by class over all entities."""
    return Counter(
        {
            kind.value: sum(len(entity.drift.get(kind, ())) for entity in report.entities)
            for kind in DriftClass
            if any(kind in entity.drift for entity in report.entities)
        }
    )
