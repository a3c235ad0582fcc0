"""The two passes over one entity: what drifted, and what is to become of each key."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from shared.domain.drift import WHOLE, Difference, Drift, DriftClass
from shared.domain.schema.mapping import EntityMapping
from shared.errors import DeltaRefused, SyncError
from shared.flows.ports.engine import Clock, Cmms, Dynamics, Ledger
from shared.flows.reconcile.changes import Changes
from shared.flows.reconcile.checkpoint import Memory
from shared.flows.reconcile.compare import Comparer
from shared.flows.reconcile.report import MOST_FINDINGS, MOST_NAMED, Action, EntityReport, Finding, Kind, Report
from shared.flows.reconcile.sweep import CHUNK, Sweep

log = logging.getLogger(__name__)


@dataclass
class Found:
    """One entity's keys by what is to become of them; `unseen` ones were not looked at for want of time."""

    entity: EntityMapping
    report: EntityReport
    watermark: datetime
    repairs: dict[str, None] = field(default_factory=dict)
    in_flight: dict[str, None] = field(default_factory=dict)
    unseen: dict[str, None] = field(default_factory=dict)
    link: str | None = None

    @property
    def full(self) -> bool:
        """Whether every record was compared."""
        return self.report.kind == "full"


@dataclass(frozen=True)
class Sources:
    """What is compared."""

    ledger: Ledger
    dynamics: Dynamics
    cmms: Cmms


class Passes:
    """One run's passes. Looking closely stops at `deadline` (monotonic seconds)."""

    def __init__(
        self, sources: Sources, comparer: Comparer, memory: Memory, report: Report, *, clock: Clock, deadline: float
    ) -> None:
        self._sources = sources
        self._comparer = comparer
        self._memory = memory
        self._report = report
        self._clock = clock
        self._deadline = deadline

    async def due(self, entity: EntityMapping, kind: Kind, most: int) -> Found:
        """Make the pass that is due; a full one in place of an incremental one that Dynamics refuses.

        Raises:
            TransientError: Something could not be read to its end; nothing of the entity is in the report.
        """
        if kind == "incremental":
            try:
                with self._undone(entity):
                    return await self.incremental(entity, most)
            except DeltaRefused as error:
                log.warning(
                    "A full pass of %s follows, because a delta link was refused: %s", entity.name, error.message
                )
                note = "Dynamics no longer knew where the last run had stopped, so everything was compared."
                self._report.notes.append(f"{entity.name}: {note}")
        with self._undone(entity):
            return await self.full(entity)

    @contextmanager
    def _undone(self, entity: EntityMapping) -> Iterator[None]:
        """Take back what a pass found if it does not come to its end."""
        try:
            yield
        except SyncError:
            self._report.findings = [one for one in self._report.findings if one.entity != entity.name]
            raise

    async def full(self, entity: EntityMapping) -> Found:
        """Compare every record.

        Raises:
            TransientError: Something could not be read to its end.
        """
        one = Found(entity, EntityReport(entity.name, "full"), self._clock.now())
        # The link of before the sweep, where there is one: it covers what changes while the sweep reads.
        link = await self._link_of_now(entity, one.report)
        sweep = Sweep(self._sources.ledger, self._sources.dynamics, self._sources.cmms, entity)
        async with aclosing(sweep.candidates(one.report)) as chunks:
            async for chunk in chunks:
                await self._closely(one, [key for key in chunk if key not in sweep.doubled], most=None)
        for key, count in sweep.doubled.items():
            self._doubled(one, key, count)
        one.link = link or sweep.link
        if one.link is None:
            note = f"Dynamics does not track the changes of {entity.table}: switch change tracking on, or what changes"
            one.report.notes.append(f"{note} there without a message is found by full passes only.")
        return one

    async def _link_of_now(self, entity: EntityMapping, report: EntityReport) -> str | None:
        link = self._memory.marks.links.get(entity.name)
        if not link:
            return None
        try:
            return await self._changes(entity).newest_link(link, report)
        except DeltaRefused as error:
            log.info("The full pass begins a new delta link: %s", error.message)
            return None

    async def incremental(self, entity: EntityMapping, most: int) -> Found:
        """Compare what changed, then what was pending until there are more than `most` repairs.

        Raises:
            DeltaRefused: Dynamics no longer knows where the last run had stopped.
            TransientError: Something could not be read.
        """
        one = Found(entity, EntityReport(entity.name, "incremental"), self._clock.now())
        marks = self._memory.marks
        link = marks.links.get(entity.name)
        changes = self._changes(entity)
        since = marks.watermarks.get(entity.name) or marks.full.get(entity.name) or self._clock.now()
        keys = await changes.keys(link, since, one.report)
        one.link = changes.link or link
        known = set(keys)
        pending = [key for key in self._memory.pending.get(entity.name, ()) if key not in known]
        for some, enough in ((keys, None), (pending, most)):
            for start in range(0, len(some), CHUNK):
                await self._closely(one, some[start : start + CHUNK], most=enough)
        one.report.compared = len(keys) + len(pending) - len(one.unseen)
        return one

    def _changes(self, entity: EntityMapping) -> Changes:
        return Changes(self._sources.ledger, self._sources.dynamics, self._sources.cmms, entity)

    async def _closely(self, one: Found, keys: Sequence[str], *, most: int | None) -> None:
        enough = most is not None and len(one.repairs) > most
        if enough or self._clock.monotonic() > self._deadline:
            one.unseen.update(dict.fromkeys(keys))
            return
        result = await self._comparer.compare(one.entity, keys)
        one.in_flight.update(dict.fromkeys(result.in_flight))
        one.report.in_flight += len(result.in_flight)
        one.report.unremembered += len(result.unremembered)
        one.report.unusable_keys += len(result.unusable)
        # Looked at again by every run until somebody has mended them.
        unreadable = {**result.unreadable, **result.unreadable_records}
        one.in_flight.update(dict.fromkeys(unreadable))
        one.report.unreadable_rows += len(result.unreadable)
        one.report.unreadable_records += len(result.unreadable_records)
        room = MOST_NAMED - len(one.report.notes)
        one.report.notes += [error.message for error in unreadable.values()][: max(room, 0)]
        one.repairs.update(dict.fromkeys(result.unremembered))
        for key, drift in result.drift.items():
            self._drifted(one, key, drift)
        if result.newest_sync is not None:
            lag = max((self._clock.now() - result.newest_sync).total_seconds(), 0.0)
            known = self._report.lag_seconds
            self._report.lag_seconds = lag if known is None else min(lag, known)

    def _drifted(self, one: Found, key: str, drift: Drift) -> None:
        one.report.drift[drift.kind] += 1
        action: Action = "reported"
        if drift.kind.repairable:
            one.repairs[key] = None
            action = "pending"
        if len(self._report.findings) < MOST_FINDINGS:
            self._report.findings.append(Finding(one.entity.name, key, drift.kind, drift.differences, action))

    def _doubled(self, one: Found, key: str, count: int) -> None:
        what = f"{count} records of the CMMS have this key: keep one of them."
        whole = Difference(WHOLE, f"{count} records", None, "", what)
        self._drifted(one, key, Drift(DriftClass.DUPLICATE_KEY, (whole,)))
