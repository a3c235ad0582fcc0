"""One record on its way through a round."""

from dataclasses import dataclass

from shared.domain.ledger import Intent, Stored
from shared.domain.merge import Blocked
from shared.domain.model import CmmsRecord, DynamicsRecord
from shared.domain.plan import Plan
from shared.flows.ports.engine import Failed
from shared.flows.sync.items import Group, Item


@dataclass
class Job:
    """One record's plan on its way through announce, write and commit."""

    group: Group
    stored: Stored
    plan: Plan
    intents: tuple[Intent, ...] = ()
    dynamics: DynamicsRecord | Failed | None = None
    cmms: CmmsRecord | Failed | None = None

    @property
    def blocked(self) -> list[Blocked]:
        """What is to be parked now: blocked, and not parked before for the same value, be it by an earlier round.

        A replayed message left `parked` when it was sent: what blocks it still must be parked again.
        """
        fresh = [block for block in self.plan.blocked if (block.field, block.digest) not in self.group.parked]
        if any(map(replayed, self.group.open_items)):
            return fresh
        parked = self.stored.entry.parked
        return [block for block in fresh if not block.same_as(parked.get(block.field))]


def replayed(item: Item) -> bool:
    """Whether an operator has just sent the message again from `parked`."""
    event = item.event
    # Its retries have attempts again: one park for each replay is enough.
    return event is not None and bool(event.history) and not event.attempt and not event.deferrals
