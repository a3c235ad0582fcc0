"""What becomes of what a run found: enqueued, held by the brake, or pending; and then what the next run begins with."""

from collections.abc import Mapping, Sequence
from copy import replace
from typing import Final

from shared.domain.link import Identity
from shared.domain.schema.mapping import EntityMapping
from shared.flows.ports.engine import Ledger
from shared.flows.reconcile import brake as brakes
from shared.flows.reconcile.checkpoint import Checkpoint, Marks
from shared.flows.reconcile.passes import Found
from shared.flows.reconcile.policy import Policy
from shared.flows.reconcile.report import Action, Brake, Finding, PastRun, Report
from shared.flows.routing.route import Router

SOURCE: Final = "/reconcile"


class Repairs:
    """Repairs are resync messages. Nothing is remembered before they are enqueued."""

    def __init__(self, ledger: Ledger, router: Router, policy: Policy) -> None:
        self._ledger = ledger
        self._router = router
        self._policy = policy

    async def settle(self, found: Sequence[Found], checkpoint: Checkpoint, report: Report) -> None:
        """Repair or hold, then remember, in this order. An entity that is not in `found` stays as it was.

        Raises:
            RoutingFailed: The repairs could not be enqueued; nothing is remembered.
            TransientError: It could not be remembered, or the ledger not be counted; the next run does all of it again.
        """
        marks = checkpoint.marks
        at = report.at
        rows = marks.ledger_rows | {one.entity.name: one.report.ledger_rows for one in found if one.full}
        # What only renews the ledger's memory writes to no side.
        wanted = sum(len(one.repairs) - len(one.renewals) + len(one.unseen) for one in found)
        brake = checkpoint.brake
        sent: dict[str, set[Identity]] = {one.entity.name: set() for one in found}
        if self._policy.mode == "repair":
            held = brakes.hold(brake, wanted, sum(rows.values()), at)
            if held is not None and not all(one.full for one in found):
                # What the last full pass counted may be of before a first load: nothing is held on that alone.
                rows |= {one.entity.name: await self._count(one.entity) for one in found if not one.full}
                held = brakes.hold(brake, wanted, sum(rows.values()), at)
            if held is None:
                sent = await self._enqueue(found, report)
                if brake is not None and brake.released_by and report.repairs:
                    report.notes.append(f"{brake.released_by} released the brake: what it held is being repaired.")
                brake = brakes.after(brake, report.repairs, max(0, wanted - report.repairs))
            else:
                brake = held
                report.brake = Brake(held=held.held, ledger_rows=held.ledger_rows, since=held.since)
        pending = checkpoint.pending | {
            one.entity.name: [name for name in (*one.repairs, *one.unseen) if name not in sent[one.entity.name]]
            + list(one.in_flight)
            for one in found
        }
        report.pending = sum(map(len, pending.values()))
        past = PastRun(run=report.run, at=at, kind=report.kind, drift=report.totals())
        new = Marks(
            full=marks.full | {one.entity.name: at for one in found if one.full},
            links=marks.links | {one.entity.name: one.link for one in found},
            watermarks=marks.watermarks | {one.entity.name: one.watermark for one in found},
            ledger_rows=rows,
            mappings=marks.mappings | {one.entity.name: one.entity.fingerprint for one in found if one.full},
            runs=(*marks.runs, past),
        )
        await checkpoint.store(new, brake, pending)
        _name_actions(report, sent)

    async def _count(self, entity: EntityMapping) -> int:
        """The ledger's rows of now. That reads them all, which only a run that would hold its repairs does."""
        return sum([len(page) async for page in self._ledger.hashes(entity.name)])

    async def _enqueue(self, found: Sequence[Found], report: Report) -> dict[str, set[Identity]]:
        sent: dict[str, set[Identity]] = {}
        for one in found:
            repaired = dict(list(one.repairs.items())[: self._policy.max_repairs - report.repairs])
            name = one.entity.name
            why = f"drift found by run {report.run}"
            await self._router.resync(name, repaired, reason=why, source=f"{SOURCE}/{report.run}")
            report.repairs += len(repaired)
            sent[name] = set(repaired)
        return sent


def _name_actions(report: Report, sent: Mapping[str, set[Identity]]) -> None:
    def action(finding: Finding) -> Action:
        if not finding.kind.repairable or report.mode == "report":
            return "reported"
        if finding.identity in sent.get(finding.entity, ()):
            return "repair enqueued"
        return "held by the brake" if report.brake is not None else "pending"

    report.findings = [replace(one, action=action(one)) for one in report.findings]
