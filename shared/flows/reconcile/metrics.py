"""A run's outcome in the log and in the metrics."""

import logging

from shared import telemetry
from shared.domain.words import plural
from shared.flows.reconcile.brake import FEWEST
from shared.flows.reconcile.report import EntityReport, Report

log = logging.getLogger(__name__)


def measure(report: Report) -> None:
    """Log and measure a run. One that failed is not counted among the runs: too few of them fire an alert."""
    for entity in report.entities:
        _measure_entity(entity)
        if report.brake is not None:
            telemetry.count("sync.drift_brake", entity=entity.entity)
    if report.brake is not None:
        log.error(
            "The brake holds %s, of %s: more than 10%% and more than %d. Nothing was repaired."
            " Look at the report; correct the mapping, or release the brake.",
            plural(report.brake.held, "repair"), plural(report.brake.ledger_rows, "ledger row"), FEWEST,
        )  # fmt: skip
    telemetry.reconciled(report.kind, report.seconds, report.pending)
    telemetry.count("sync.reconcile.repairs", report.repairs, kind=report.kind)
    if not report.failed:
        telemetry.count("sync.reconcile.runs", outcome="held" if report.brake is not None else "done")


def measure_queues(report: Report) -> None:
    """Measure a run of one-way mode, which looks after the queues and compares nothing.

    A run that could not look after each queue is not counted: the alert that misses runs is the only one that notices
    there.
    """
    if all(queue.oldest_seconds is not None for queue in report.queues):
        telemetry.count("sync.reconcile.runs", outcome="queues")


def _measure_entity(entity: EntityReport) -> None:
    if entity.failed is not None:
        log.error("Reconcile %s: could not be compared, and the next run tries again: %s", *_of(entity))
        return
    classes = ", ".join(f"{kind.value} {count}" for kind, count in sorted(entity.drift.items())) or "no drift"
    log.info(
        "Reconcile %s (%s): %d compared, %s, %d in flight, %s",
        entity.entity, entity.kind, entity.compared, classes, entity.in_flight,
        plural(entity.pages, "page"),
    )  # fmt: skip
    telemetry.count("sync.reconcile.pages", entity.pages, entity=entity.entity)
    for note in entity.notes:
        log.warning("Reconcile %s: %s", entity.entity, note)
    for kind, count in entity.drift.items():
        telemetry.count("sync.drift", count, entity=entity.entity, drift=kind.value)


def _of(entity: EntityReport) -> tuple[str, str | None]:
    return entity.entity, entity.failed
