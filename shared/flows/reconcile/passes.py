"""The two passes over one entity: what drifted, and what is to become of each record."""

import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

from shared.domain.blocked import RECORD
from shared.domain.link import Identity
from shared.domain.schema.mapping import EntityMapping
from shared.errors import DeltaRefused
from shared.flows.ports.engine import Clock, Cmms, Dynamics, Ledger
from shared.flows.reconcile.changes import Changes
from shared.flows.reconcile.checkpoint import Checkpoint
from shared.flows.reconcile.compare import Comparer
from shared.flows.reconcile.drift import Difference, Drift, DriftClass
from shared.flows.reconcile.report import MOST_FINDINGS, MOST_NAMED, Action, EntityReport, Finding, Kind
from shared.flows.reconcile.sweep import CHUNK, Sweep

log = logging.getLogger(__name__)


@dataclass
class Found:
    """One entity's pass: its records by what is to become of them, with their keys for people where they are known.

    `unseen` records were not looked at for want of time. `link` is where the next run goes on. `doubled` are the keys
    that several records of the CMMS have. `renewals` are those repairs that only renew the ledger's memory.
    """

    entity: EntityMapping
    report: EntityReport
    watermark: datetime
    repairs: dict[Identity, str] = field(default_factory=dict)
    in_flight: dict[Identity, None] = field(default_factory=dict)
    unseen: dict[Identity, None] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    newest_sync: datetime | None = None
    link: str | None = None
    doubled: Mapping[str, int] = field(default_factory=dict)
    renewals: set[Identity] = field(default_factory=set)

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
        self,
        sources: Sources,
        comparer: Comparer,
        checkpoint: Checkpoint,
        *,
        clock: Clock,
        deadline: float,
        first_syncs: Collection[str] = (),
    ) -> None:
        """`first_syncs` are the entities whose records first meet by a run of their own just now."""
        self._sources = sources
        self._comparer = comparer
        self._checkpoint = checkpoint
        self._clock = clock
        self._deadline = deadline
        self._first_syncs = first_syncs

    async def due(self, entity: EntityMapping, kind: Kind, most: int) -> Found:
        """Make the pass that is due; a full one in place of an incremental one that Dynamics refuses.

        Raises:
            TransientError: Something could not be read to its end.
        """
        found = await (self.full(entity) if kind == "full" else self._incremental_or_full(entity, most))
        if not self._leads(entity):
            found.report.notes.append("A first sync is under way: records that have not met yet are left to it.")
        return found

    async def _incremental_or_full(self, entity: EntityMapping, most: int) -> Found:
        try:
            return await self.incremental(entity, most)
        except DeltaRefused as error:
            log.warning("A full pass of %s follows, because a delta link was refused: %s", entity.name, error.message)
            found = await self.full(entity)
            found.report.notes.append(
                "Dynamics no longer knew where the last run had stopped, so everything was compared."
            )
            return found

    async def full(self, entity: EntityMapping) -> Found:
        """Compare every record.

        Raises:
            TransientError: Something could not be read to its end.
        """
        one = Found(entity, EntityReport(entity.name, "full"), self._clock.now())
        # The link of before the sweep, where there is one: it covers what changes while the sweep reads.
        link = await self._link_of_now(entity, one.report)
        sweep = Sweep(self._sources.ledger, self._sources.dynamics, self._sources.cmms, entity)
        async with aclosing(sweep.candidates(one.report, unmet=self._leads(entity))) as chunks:
            async for chunk in chunks:
                one.doubled = sweep.doubled
                await self._closely(one, chunk, most=None)
        for key, count in sweep.doubled.items():
            what = f"{count} records of the CMMS have this key: keep one of them."
            whole = Difference(RECORD, f"{count} records", None, "", what)
            _drifted(one, None, key, Drift(DriftClass.DUPLICATE_KEY, (whole,)))
        one.link = link or sweep.link
        if one.link is None:
            note = f"Dynamics does not track the changes of {entity.table}: switch change tracking on, or what changes"
            one.report.notes.append(f"{note} there without a message is found by full passes only.")
        return one

    async def _link_of_now(self, entity: EntityMapping, report: EntityReport) -> str | None:
        link = self._checkpoint.marks.links.get(entity.name)
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
        marks = self._checkpoint.marks
        link = marks.links.get(entity.name)
        changes = self._changes(entity)
        since = marks.watermarks.get(entity.name) or marks.full.get(entity.name) or self._clock.now()
        changed = await changes.since(link, since, one.report)
        one.link = changes.link or link
        known = set(changed)
        pending = [identity for identity in self._checkpoint.pending.get(entity.name, ()) if identity not in known]
        for some, enough in ((changed, None), (pending, most)):
            for start in range(0, len(some), CHUNK):
                await self._closely(one, some[start : start + CHUNK], most=enough)
        one.report.compared = len(changed) + len(pending) - len(one.unseen)
        return one

    def _leads(self, entity: EntityMapping) -> bool:
        """Whether records that have not met yet are the pass's business, not a first sync's."""
        return entity.name not in self._first_syncs

    def _changes(self, entity: EntityMapping) -> Changes:
        return Changes(self._sources.dynamics, self._sources.cmms, entity)

    async def _closely(self, one: Found, identities: Sequence[Identity], *, most: int | None) -> None:
        enough = most is not None and len(one.repairs) > most
        if enough or self._clock.monotonic() > self._deadline:
            one.unseen.update(dict.fromkeys(identities))
            return
        result = await self._comparer.compare(one.entity, identities, unmet=self._leads(one.entity))
        # Looked at again by every run until somebody has corrected them.
        unreadable = {**result.unreadable, **result.unreadable_records}
        one.in_flight.update(dict.fromkeys((*result.in_flight, *unreadable)))
        one.report.count(result)
        room = MOST_NAMED - len(one.report.notes)
        one.report.notes += [error.message for error in unreadable.values()][: max(room, 0)]
        one.repairs.update({identity: result.keys[identity] for identity in result.unremembered})
        one.renewals.update(result.unremembered)
        for identity, drift in result.drift.items():
            _drifted(one, identity, result.keys[identity], drift)
        one.newest_sync = max((at for at in (one.newest_sync, result.newest_sync) if at is not None), default=None)


def _drifted(one: Found, identity: Identity | None, key: str, drift: Drift) -> None:
    # A doubled key is reported once, not for each of its records.
    if identity in one.repairs or (identity is not None and key in one.doubled):
        return
    one.report.drift[drift.kind] += 1
    action: Action = "reported"
    if drift.kind.repairable and identity is not None:
        one.repairs[identity] = key
        action = "pending"
    if len(one.findings) < MOST_FINDINGS:
        one.findings.append(Finding(one.entity.name, key, drift.kind, drift.differences, action, identity))
