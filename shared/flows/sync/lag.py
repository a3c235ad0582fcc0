"""A side that lags: a message announced something that the side does not show yet."""

from shared.domain.decide import Snapshot
from shared.domain.messages.events import DeletedData, DirtyData
from shared.domain.model import CmmsRecord, is_before
from shared.domain.schema.mapping import EntityMapping
from shared.errors import NotYetVisible
from shared.flows.routing.outcomes import Again
from shared.flows.sync.deliveries import Delivery, Outcomes
from shared.flows.sync.resolve import unreadable_row
from shared.flows.sync.work import Work


def behind(entity: EntityMapping, work: Work, snapshot: Snapshot, *, one_way: bool) -> Outcomes:
    """Find the messages that announce more than a side shows: nothing is concluded from a side that lags.

    Returns:
        The ends of these messages: they are tried again. In one-way mode the CMMS shows what its messages said.
    """
    absent = not snapshot.row.exists and not snapshot.candidates and snapshot.stored.etag is None
    ended: Outcomes = {}
    for delivery in work.deliveries:
        if absent and delivery.operation in {"create", "update"}:
            ended[delivery.place] = Again(unreadable_row(entity, delivery.row_id or work.name))
        elif not one_way and _announces_more(delivery, snapshot.cmms):
            problem = (
                f"The CMMS does not yet show what this message announced of {work.name}: if this goes on, look"
                " whether its integration API reads from the same database as its outbox writes to."
            )
            ended[delivery.place] = Again(NotYetVisible(problem))
    return ended


def _announces_more(delivery: Delivery, record: CmmsRecord) -> bool:
    """Whether a message of the CMMS is newer than what the CMMS shows."""
    if isinstance(delivery.payload, DirtyData):
        return False
    # Only what the CMMS itself versioned: an event's own time may be any sender's clock.
    announced, shown = delivery.payload.version, record.changed_at
    older = is_before(shown, announced)
    if isinstance(delivery.payload, DeletedData):
        return record.living and (older or None in {shown, announced})
    return older or not record.exists
