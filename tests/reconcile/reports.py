"""Reports to look at."""

from datetime import UTC, datetime, timedelta
from typing import Final

from shared.flows.reconcile.drift import Difference, DriftClass
from shared.flows.reconcile.report import Brake, EntityReport, Finding, PastRun, QueueState, Report

AT: Final = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RULE: Final = "both may change it; in a conflict the CMMS wins"
HOSTILE: Final = '</script><script>window.broken = true</script><img src=x onerror="window.broken = true">'
ARABIC: Final = "مضخة \u202etxt.exe"
LONG: Final = "x" * 9_990 + " the end" + "  "


def full(count: int = 250) -> Report:
    """A report with records of every class, hostile values among them."""
    kinds = list(DriftClass)
    findings = [
        Finding(
            "asset" if number % 4 else "order",
            f"A-{number:05}",
            kinds[number % len(kinds)],
            (
                Difference("nombre", f"Bomba {number}", f"Pump {number}", RULE, "written to Dynamics"),
                Difference("valor_libros", "100.5", None, RULE.replace("CMMS", "Dynamics"), "written to the CMMS"),
            )[: 1 + number % 2],
            "repair enqueued" if kinds[number % len(kinds)].repairable else "reported",
        )
        for number in range(count)
    ]
    findings += [
        Finding("asset", "HOSTILE", kinds[0], (Difference(HOSTILE, HOSTILE, "&lt;b&gt;", HOSTILE, ""),), "pending"),
        Finding("asset", "RTL", kinds[0], (Difference("nombre", ARABIC, "plain", RULE, ""),), "pending"),
        Finding("asset", "LONG", kinds[2], (Difference("nombre", LONG, "", RULE, ""),), "pending"),
    ]
    asset, order = EntityReport("asset", compared=1_000_000), EntityReport("order", compared=20_000)
    for finding in findings:
        (asset if finding.entity == "asset" else order).drift[finding.kind] += 1
    asset.notes.append(HOSTILE)
    history = tuple(
        PastRun(
            run=str(number),
            at=AT - timedelta(minutes=15 * (40 - number)),
            kind="full" if number % 20 == 3 else "incremental",
            drift={kind: (number * (place + 3)) % 9 for place, kind in enumerate(kinds)},
        )
        for number in range(40)
    )
    return Report(
        "6d9f0e5c-1111-4222-8333-444455556666", AT, 84.2, 190, (asset, order), pending=3,
        requests={"Dynamics": 205, "the CMMS": 2004}, findings=findings, history=history,
        queues=(QueueState("assets", 2, 4.0),),
    )  # fmt: skip


def quiet() -> Report:
    """A report of a run that found nothing."""
    assets, orders = EntityReport("asset", "incremental", compared=4), EntityReport("order", "incremental")
    return Report("6d9f0e5c-1111-4222-8333-444455556666", AT, 3.2, entities=(assets, orders))


def incomplete() -> Report:
    """A report of a run that could not compare the orders."""
    report = full(10)
    report.entities[1].failed = f"Dynamics refused our identity for GET /salesorders ({HOSTILE})."
    return report


def braked() -> Report:
    """A report of a run that the brake held."""
    report = full(10)
    report.brake = Brake(held=500_000, ledger_rows=1_000_000, since=AT)
    return report
