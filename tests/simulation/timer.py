"""The reconciliation's timer, and the operator of its brake."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from shared.errors import SyncError
from shared.flows.reconcile.checkpoint import release_brake
from shared.flows.reconcile.report import Finding, Kind, Report
from tests.simulation.history import History
from tests.simulation.trace import Trace
from tests.simulation.watched_ledger import WatchedLedger
from tests.simulation.worker import Worker

MOST_SWEEPS = 4
"""Runs after which nothing may be left to repair."""


class Timer:
    """`reported` and `repairable` are (side, entity, id) of what runs found, for people and to repair."""

    def __init__(
        self,
        workers: Sequence[Worker],
        ledger: WatchedLedger,
        history: History,
        trace: Trace,
        *,
        rest: Callable[[], Awaitable[None]],
    ) -> None:
        """`rest` waits until nothing is under way."""
        self._workers = workers
        self._ledger = ledger
        self._history = history
        self._trace = trace
        self._rest = rest
        self._released = False
        self.reported: set[tuple[str, str, str]] = set()
        self.repairable: set[tuple[str, str, str]] = set()

    async def sweep(self, kind: Kind | None = None) -> int:
        """Reconcile; answers how much was found that a repair may mend."""
        worker = next((worker for worker in self._workers if not worker.process.dead.is_set()), None)
        if worker is not None:
            with suppress(SyncError, asyncio.CancelledError):
                try:
                    report = await worker.reconcile(kind)
                except SyncError:
                    # What the run found until then is in its report all the same.
                    self._note(worker.report.findings)
                    raise
                self._note(report.findings)
                totals = ", ".join(f"{kind.value} {n}" for kind, n in report.totals().items())
                self._trace("reconcile", f"{report.kind}: {totals}")
                await self._braked(report)
                return report.repairs + report.pending
        return 1

    def _note(self, findings: Sequence[Finding]) -> None:
        for one in findings:
            if one.identity is not None:
                side = "cmms" if one.identity.kind == "cmms" else "dynamics"
                seen = self.repairable if one.kind.repairable else self.reported
                seen.add((side, one.entity, one.identity.value))

    async def sweep_until_quiet(self, kind: Kind | None) -> list[str]:
        """Reconcile until nothing is left to repair."""
        for _ in range(MOST_SWEEPS):
            await asyncio.sleep(300.0)
            if not await self.sweep(kind):
                return []
            await self._rest()
        return [f"reconciliation still finds something to repair after {MOST_SWEEPS} runs"]

    async def _braked(self, report: Report) -> None:
        """Judge the brake, and release it as an operator does who finds that the drift is meant."""
        most = max(50, len(self._ledger.all_links()) / 10)
        # What only renews the ledger's memory, of which no drift is told, changes neither side.
        drifted = sum(n for kind, n in report.totals().items() if kind.repairable)
        if min(report.repairs, drifted) > most and not self._released:
            self._history.violations.append(f"{report.repairs} repairs went through the brake")
        if report.brake is not None:
            if report.repairs:
                self._history.violations.append(f"{report.repairs} repairs were sent while the brake held")
            await release_brake(self._ledger, by="operator")
            self._released = True
            self._trace("operator", f"releases the brake, which holds {report.brake.held} repairs")
