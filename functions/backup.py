"""The timer that keeps a backup of the ledger each night."""

import logging

import azure.functions as func

from functions.causes import told
from shared.wiring import wiring

log = logging.getLogger(__name__)
blueprint = func.Blueprint()


@blueprint.function_name("backup")
@blueprint.timer_trigger(arg_name="timer", schedule="0 30 2 * * *", run_on_startup=False)
async def backup(timer: func.TimerRequest) -> None:  # noqa: ARG001  # the host passes it by name
    """Write the ledger's table to the container of backups; one that fails is taken the next night."""
    with told("backup"):
        where = await wiring.back_up()
    if where is None:
        log.info("No backup of the ledger is kept: BACKUP_LOCATION is empty, or the ledger is a file")
    else:
        log.info("Kept a backup of the ledger: %s", where)
