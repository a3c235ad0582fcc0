"""The queues, as constants that the code, the local broker and the deployment share."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final


@dataclass(frozen=True)
class Queue:
    """A Service Bus queue's settings.

    `duplicate_window` None means no duplicate detection; `time_to_live` None means that nothing expires.
    """

    name: str
    lock_duration: timedelta
    max_delivery_count: int
    duplicate_window: timedelta | None
    time_to_live: timedelta | None


# A batch must finish inside its messages' locks, and five minutes is the longest that Service Bus offers.
LOCK_DURATION: Final = timedelta(minutes=5)
# Deliveries only repeat when routing itself failed: the broker's own outage, or a worker that died.
MAX_DELIVERIES: Final = 10

ASSETS: Final = Queue("assets", LOCK_DURATION, MAX_DELIVERIES, timedelta(minutes=10), timedelta(days=14))
ORDERS: Final = Queue("orders", LOCK_DURATION, MAX_DELIVERIES, timedelta(minutes=10), timedelta(days=14))
# Parked messages wait for a person: they never expire, and a replay that fails twice alike is two facts.
# An operator's replay of some of them locks the others for a moment, and each lock counts as a delivery; nothing
# consumes this queue by itself, so the count protects from nothing: 2,000 is the most that Service Bus takes.
PARKED: Final = Queue("parked", LOCK_DURATION, 2000, None, None)

ALL: Final = (ASSETS, ORDERS, PARKED)
OF_ENTITY: Final = {"asset": ASSETS, "order": ORDERS}
