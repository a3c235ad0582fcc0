"""The timer that looks for drift."""

import logging

import azure.functions as func

from functions.causes import told
from shared.domain.words import plural
from shared.errors import RoutingFailed, TransientError
from shared.wiring import wiring

log = logging.getLogger(__name__)
blueprint = func.Blueprint()


@blueprint.function_name("reconcile")
@blueprint.timer_trigger(arg_name="timer", schedule="%RECONCILE_SCHEDULE%", run_on_startup=False)
async def reconcile(timer: func.TimerRequest) -> None:
    """Compare both sides, enqueue repairs, look after the queues; an outage is left to the next run."""
    if timer.past_due:
        log.warning("The reconciliation starts late")
    with told("reconcile"):
        try:
            report = await wiring.reconciler.run()
        except (TransientError, RoutingFailed) as error:
            log.error("The reconciliation stopped and comes again at its next time: %s", error.message)  # noqa: TRY400  # no trace
            return
    log.info(
        "Reconcile run %s (%s): %d drifted, %s, %d pending in %.1f s",
        report.run, report.kind, report.drifted, plural(report.repairs, "repair"), report.pending, report.seconds,
    )  # fmt: skip
