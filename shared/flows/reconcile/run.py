"""One run of the timer: which pass is due, what drifted, what is repaired now, and what is remembered.

Repairs are resync messages: the engine decides again, from what it then reads. Nothing advances before it: first the
repairs are enqueued, then what is left is stored as pending, then the delta links and watermarks. A run that dies
anywhere is done again by the next one. An entity that cannot be compared stops neither the other one nor the report.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final
from uuid import uuid4

from shared.domain.schema.mapping import EntityMapping
from shared.domain.schema.mapping import Mapping as FieldTable
from shared.errors import SyncError
from shared.flows.ports.engine import Clock, Cmms, Dynamics, Ledger, Reports, State
from shared.flows.reconcile.checkpoint import Checkpoint
from shared.flows.reconcile.compare import Comparer
from shared.flows.reconcile.dead_letters import DeadLetterMover
from shared.flows.reconcile.first_sync import under_way
from shared.flows.reconcile.metrics import measure, measure_queues
from shared.flows.reconcile.passes import Passes, Sources
from shared.flows.reconcile.policy import Policy
from shared.flows.reconcile.repairs import Repairs
from shared.flows.reconcile.report import EntityReport, Kind, Report
from shared.flows.reconcile.report_store import ReportStore
from shared.flows.routing.route import Router

log = logging.getLogger(__name__)

LONGEST_LOOK: Final = timedelta(minutes=22)
"""A run stops looking closely then, well inside the function's 30 minutes; the rest is pending."""


class Reconciler:
    """The timer's use case. Without the CMMS's API there is nothing to compare with."""

    def __init__(
        self,
        mapping: FieldTable,
        ledger: Ledger,
        dynamics: Dynamics,
        cmms: Cmms | None,
        router: Router,
        *,
        clock: Clock,
        policy: Policy,
        state: State | None = None,
        reports: Reports | None = None,
        retention: timedelta = timedelta(days=30),
        letters: DeadLetterMover | None = None,
        requests: Callable[[], Mapping[str, int]] | None = None,
    ) -> None:
        """Without `state` nothing is remembered; `requests` counts what was asked of either side so far."""
        self._mapping = mapping
        self._ledger = ledger
        self._dynamics = dynamics
        self._cmms = cmms
        self._clock = clock
        self._policy = policy
        self._repairs = Repairs(ledger, router, policy)
        self._state = state
        self._shelf = ReportStore(reports, retention) if reports is not None else None
        self._letters = letters
        self._requests = requests or dict
        self._one_at_a_time = asyncio.Lock()

    async def run(self, kind: Kind | None = None) -> Report:
        """Compare once; `kind` None lets each entity's last full pass decide.

        What failed is raised when all else is done, and stands in the report, which is stored all the same.

        Raises:
            TransientError: An entity or the ledger could not be read, or the outcome not be stored.
            RoutingFailed: The repairs could not be enqueued; nothing advanced.
        """
        async with self._one_at_a_time:
            return await self._run(kind)

    async def _run(self, kind: Kind | None) -> Report:
        started = time.monotonic()
        asked = dict(self._requests())
        report = Report(str(uuid4()), self._clock.now(), mode=self._policy.mode)
        # The queues are looked after meanwhile: opening links to them is mostly waiting.
        queues = asyncio.ensure_future(self._letters.drain()) if self._letters is not None else None
        failure: SyncError | None = None
        try:
            await self._compare(kind, report)
        except SyncError as error:
            failure = error
        finally:
            states = await queues if queues is not None else ()
        report.queues = states
        report.requests = {side: count - asked.get(side, 0) for side, count in self._requests().items()}
        report.seconds = time.monotonic() - started
        if self._cmms is not None:
            if failure is not None and not report.failed:
                report.stopped = failure.message
            if self._shelf is not None:
                await self._shelf.put(report)
            measure(report)
        else:
            measure_queues(report)
        if failure is not None:
            raise failure
        return report

    async def _compare(self, kind: Kind | None, report: Report) -> None:
        if self._cmms is None:
            log.info("Reconcile: nothing to compare, because CMMS_BASE_URL is not set (one-way mode)")
            return
        checkpoint = await Checkpoint.load(self._state)
        report.history = checkpoint.marks.runs
        passes = Passes(
            Sources(self._ledger, self._dynamics, self._cmms),
            Comparer(self._ledger, self._dynamics, self._cmms, self._clock, self._policy.settle),
            checkpoint,
            clock=self._clock,
            deadline=self._clock.monotonic() + LONGEST_LOOK.total_seconds(),
            first_syncs=await under_way(self._state, self._clock.now()),
        )
        found, failures = [], []
        for entity in self._mapping.entities.values():
            due = kind or self._due(entity, checkpoint)
            try:
                found.append(await passes.due(entity, due, self._policy.max_repairs))
            except SyncError as error:
                failures.append(error)
                report.entities = (*report.entities, EntityReport(entity.name, due, failed=error.message))
            else:
                report.add(found[-1].report, found[-1].findings, found[-1].newest_sync, self._clock.now())
        if found:
            await self._repairs.settle(found, checkpoint, report)
            report.history = checkpoint.marks.runs
        if failures:
            raise failures[0]

    def _due(self, entity: EntityMapping, checkpoint: Checkpoint) -> Kind:
        last = checkpoint.marks.full.get(entity.name)
        known = entity.name in checkpoint.marks.links
        # Under another mapping every record has to be met again, and not only those that change.
        remapped = checkpoint.marks.mappings.get(entity.name) != entity.fingerprint
        if last is None or not known or remapped or self._clock.now() - last >= self._policy.full_every:
            return "full"
        return "incremental"
