"""The brake: drift beyond belief is more likely a mistake of ours than of two thousand people."""

from datetime import datetime
from typing import Final

from shared.flows.reconcile.checkpoint import BrakeState

FEWEST: Final = 50
PORTION: Final = 0.1


def hold(brake: BrakeState | None, repairs: int, ledger_rows: int, now: datetime) -> BrakeState | None:
    """The brake that holds these repairs, or None to let them go.

    More than 10% of all ledger rows, and more than 50. What an operator released does not count. `brake` is how it
    stood before.
    """
    allowance = brake.allowance if brake is not None else 0
    if repairs - allowance <= max(FEWEST, PORTION * ledger_rows):
        return None
    since = brake.since if brake is not None and not allowance else now
    return BrakeState(held=repairs, ledger_rows=ledger_rows, since=since)


def after(brake: BrakeState | None, repaired: int, pending: int) -> BrakeState | None:
    """What is left of a released brake once repairs were sent; None when there is nothing more to let go."""
    if brake is None or not pending or brake.allowance <= repaired:
        return None
    return brake.model_copy(update={"allowance": brake.allowance - repaired})
