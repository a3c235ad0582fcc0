"""A side that lags: a message announced something that the side does not show yet."""

from shared.domain.decide import Snapshot
from shared.domain.schema.mapping import EntityMapping
from shared.errors import Conflict, NotYetVisible
from shared.flows.routing.outcomes import Again
from shared.flows.sync.deliveries import Outcomes
from shared.flows.sync.resolve import unreadable_row
from shared.flows.sync.work import Work


def behind(entity: EntityMapping, work: Work, snapshot: Snapshot, *, one_way: bool) -> Outcomes:
    """Find the messages that announce more than a side shows: nothing is concluded from a side that lags.

    Returns:
        The ends of these messages: they are tried again. In one-way mode the CMMS shows what its messages said.
    """
    unknown = not snapshot.row.exists and not snapshot.candidates and snapshot.stored.etag is None
    ended: Outcomes = {}
    for delivery in work.deliveries:
        if unknown and delivery.operation in {"create", "update"}:
            ended[delivery.place] = Again(unreadable_row(entity, delivery.identity.value))
        elif work.has_left(delivery, snapshot.cmms):
            problem = f"{delivery.identity.value} was met by its key, and {work.name} has another key by now."
            ended[delivery.place] = Again(Conflict(problem))
        elif not one_way and delivery.payload.is_ahead_of(snapshot.cmms):
            problem = (
                f"The CMMS does not yet show what this message announced of {work.name}: if this goes on, look"
                " whether its integration API reads from the same database as its outbox writes to."
            )
            ended[delivery.place] = Again(NotYetVisible(problem))
    return ended
