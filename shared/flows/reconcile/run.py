"""One run of the timer: which pass is due, what drifted, what is repaired now, and what is remembered.

Repairs are resync messages: the engine decides again, from what it then reads. Nothing advances before it: first the
repairs are enqueued, then what is left is stored as pending, then the delta links and watermarks. A run that dies
anywhere is done again by the next one.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal
from uuid import uuid4

from shared import telemetry
from shared.domain.mapping import Mapping as FieldTable
from shared.errors import DeltaRefused
from shared.flows.ports import Clock, Cmms, Dynamics, Ledger, Reports, State
from shared.flows.reconcile import brake as brakes
from shared.flows.reconcile.compare import Comparer
from shared.flows.reconcile.letters import Letters
from shared.flows.reconcile.memory import InMemory, Marks, Memory
from shared.flows.reconcile.passes import Found, Passes, Sources
from shared.flows.reconcile.report import (
    Action,
    Brake,
    Finding,
    Kind,
    PastRun,
    Report,
)
from shared.flows.reconcile.shelf import Shelf
from shared.flows.route import Router

log = logging.getLogger(__name__)

SOURCE: Final = "/reconcile"
LONGEST_LOOK: Final = timedelta(minutes=22)
"""A run stops looking closely then, well inside the function's 30 minutes; the rest is pending."""


@dataclass(frozen=True)
class Policy:
    """What the settings say.

    `settle`: a record touched less than this ago may still be on its way. `full_every`: zero makes each run a full one.
    """

    settle: timedelta
    full_every: timedelta = timedelta()
    max_repairs: int = 10_000
    mode: Literal["repair", "report"] = "repair"


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
        settle: timedelta | None = None,
        policy: Policy | None = None,
        state: State | None = None,
        reports: Reports | None = None,
        retention: timedelta = timedelta(days=30),
        letters: Letters | None = None,
        requests: Callable[[], Mapping[str, int]] | None = None,
    ) -> None:
        """`settle` alone stands for a policy of full runs; `requests` counts what was asked of either side so far."""
        self._mapping = mapping
        self._ledger = ledger
        self._dynamics = dynamics
        self._cmms = cmms
        self._router = router
        self._clock = clock
        self._policy = policy or Policy(settle or timedelta())
        self._state = state if state is not None else InMemory()
        self._shelf = Shelf(reports, retention) if reports is not None else None
        self._letters = letters
        self._requests = requests or dict
        self._one_at_a_time = asyncio.Lock()

    async def run(self, kind: Kind | None = None) -> Report:
        """Compare once; `kind` None lets the last full pass decide.

        Raises:
            TransientError: A side or the ledger could not be read; nothing was enqueued and nothing advanced.
            RoutingFailed: The repairs could not be enqueued; nothing advanced.
        """
        async with self._one_at_a_time:
            return await self._run(kind)

    async def _run(self, kind: Kind | None) -> Report:
        started = time.monotonic()
        # The queues are looked after meanwhile: opening links to them is mostly waiting.
        queues = asyncio.ensure_future(self._letters.sweep()) if self._letters is not None else None
        try:
            report = await self._compare(kind)
        finally:
            states = await queues if queues is not None else ()
        report.queues = states
        report.seconds = time.monotonic() - started
        if self._cmms is not None:
            if self._shelf is not None:
                await self._shelf.put(report)
            _tell(report)
        return report

    async def _compare(self, kind: Kind | None) -> Report:
        asked = dict(self._requests())
        report = Report(str(uuid4()), 0.0, 0, at=self._clock.now(), mode=self._policy.mode)
        if self._cmms is None:
            log.info("Reconcile: nothing to compare, because CMMS_BASE_URL is not set (one-way mode)")
            return report
        memory = await Memory.load(self._state)
        found = await self._look(kind or self._due(memory), memory, report)
        await self._settle(found, memory, report)
        now = self._requests()
        report.requests = {side: count - asked.get(side, 0) for side, count in now.items()}
        report.history = memory.marks.runs
        return report

    def _due(self, memory: Memory) -> Kind:
        last = memory.marks.last_full
        links = memory.marks.links
        known = all(entity in links for entity in self._mapping.entities)
        if last is None or not known or self._clock.now() - last >= self._policy.full_every:
            return "full"
        return "incremental"

    async def _look(self, kind: Kind, memory: Memory, report: Report) -> list[Found]:
        if self._cmms is None:
            raise AssertionError("asked for by run")
        report.kind = kind
        passes = Passes(
            Sources(self._ledger, self._dynamics, self._cmms),
            Comparer(self._ledger, self._dynamics, self._cmms, self._clock, self._policy.settle),
            memory,
            report,
            clock=self._clock,
            deadline=self._clock.monotonic() + LONGEST_LOOK.total_seconds(),
        )
        most = self._policy.max_repairs
        entities = self._mapping.entities.values()
        try:
            found = [await (passes.full(one) if kind == "full" else passes.incremental(one, most)) for one in entities]
        except DeltaRefused as error:
            if kind == "full":
                raise
            log.warning("A full pass follows, because a delta link was refused: %s", error.message)
            report.findings.clear()
            report.notes.append("Dynamics no longer knew where the last run had stopped, so everything was compared.")
            return await self._look("full", memory, report)
        report.entities = tuple(one.report for one in found)
        return found

    async def _settle(self, found: Sequence[Found], memory: Memory, report: Report) -> None:
        """Repair or hold, then remember, in this order."""
        full = report.kind == "full"
        rows = sum(one.report.ledger_rows for one in found) if full else memory.marks.ledger_rows
        wanted = sum(len(one.repairs) + len(one.unseen) for one in found)
        at = report.at or self._clock.now()
        brake = memory.brake
        sent: dict[str, set[str]] = {one.entity.name: set() for one in found}
        if self._policy.mode == "repair":
            held = brakes.hold(brake, wanted, rows, at)
            if held is None:
                sent = await self._repair(found, report)
                if brake is not None and brake.released_by and report.repairs:
                    report.notes.append(f"{brake.released_by} released the brake: what it held is being repaired.")
                brake = brakes.after(brake, report.repairs, wanted - report.repairs)
            else:
                brake = held
                report.brake = Brake(held=held.held, ledger_rows=held.ledger_rows, since=held.since)
        pending = {
            one.entity.name: [key for key in (*one.repairs, *one.unseen) if key not in sent[one.entity.name]]
            + list(one.in_flight)
            for one in found
        }
        report.pending = sum(map(len, pending.values()))
        past = PastRun(run=report.run, at=at, kind=report.kind, drift=report.totals())
        marks = Marks(
            last_full=at if full else memory.marks.last_full,
            links={one.entity.name: one.link for one in found},
            watermarks={one.entity.name: one.watermark for one in found if one.watermark is not None},
            ledger_rows=rows,
            runs=(*memory.marks.runs, past),
        )
        await memory.store(marks, brake, pending)
        self._name_actions(report, sent)

    async def _repair(self, found: Sequence[Found], report: Report) -> dict[str, set[str]]:
        sent: dict[str, set[str]] = {}
        for one in found:
            keys = list(one.repairs)[: self._policy.max_repairs - report.repairs]
            name = one.entity.name
            why = f"drift found by run {report.run}"
            await self._router.resync(name, keys, reason=why, source=f"{SOURCE}/{report.run}")
            report.repairs += len(keys)
            sent[name] = set(keys)
        return sent

    @staticmethod
    def _name_actions(report: Report, sent: Mapping[str, set[str]]) -> None:
        def action(finding: Finding) -> Action:
            if not finding.kind.repairable or report.mode == "report":
                return "reported"
            if finding.key in sent[finding.entity]:
                return "repair enqueued"
            return "held by the brake" if report.brake is not None else "pending"

        report.findings = [
            Finding(one.entity, one.key, one.kind, one.differences, action(one)) for one in report.findings
        ]


def _tell(report: Report) -> None:
    for entity in report.entities:
        classes = ", ".join(f"{kind.value} {count}" for kind, count in sorted(entity.drift.items())) or "no drift"
        log.info(
            "Reconcile %s (%s): %d compared, %s, %d in flight, %d pages",
            entity.entity, report.kind, entity.compared, classes, entity.in_flight, entity.pages,
        )  # fmt: skip
        telemetry.count("sync.reconcile.pages", entity.pages, entity=entity.entity)
        for note in entity.notes:
            log.warning("Reconcile %s: %s", entity.entity, note)
        for kind, count in entity.drift.items():
            telemetry.count("sync.drift", count, entity=entity.entity, drift=kind.value)
        if report.brake is not None:
            telemetry.count("sync.drift_brake", entity=entity.entity)
    if report.brake is not None:
        log.error(
            "The brake holds %d repairs, of %d ledger rows: more than 10%% and more than %d. Nothing was repaired."
            " Look at the report; correct the mapping, or release the brake.",
            report.brake.held, report.brake.ledger_rows, brakes.FEWEST,
        )  # fmt: skip
    telemetry.reconciled(report.kind, report.seconds, report.pending)
    telemetry.count("sync.reconcile.repairs", report.repairs, kind=report.kind)
    telemetry.count("sync.reconcile.runs", outcome="held" if report.brake is not None else "done")
