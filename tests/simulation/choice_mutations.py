"""Engines that get an operator's choices for a first sync wrong."""

from collections.abc import Callable, Mapping
from copy import replace
from datetime import datetime
from typing import Final

from shared.domain.decide import Decision, Snapshot, Wait
from shared.domain.messages.events import DirtyData
from shared.domain.model import Side
from shared.domain.schema.mapping import EntityMapping
from shared.flows.sync import Sync
from shared.flows.sync.work import Work
from tests.simulation.worker import Parts


class _Unrecorded(Sync):
    """The chosen side's value replaces the other one without a record."""

    def _decide(self, entity: EntityMapping, work: Work, snapshot: Snapshot, now: datetime) -> Decision:
        decision = super()._decide(entity, work, snapshot, now)
        if isinstance(decision, Wait):
            return decision
        chosen = work.context(entity, now, one_way=False).prefer_fields
        kept = tuple(
            one for one in decision.link.conflicts if one.why != "first_contact" or one.winner != chosen.get(one.field)
        )
        return replace(decision, link=decision.link.model_copy(update={"conflicts": kept}))


class _Unheard(Sync):
    """Each field's own rule decides, whatever was chosen."""

    def _decide(self, entity: EntityMapping, work: Work, snapshot: Snapshot, now: datetime) -> Decision:
        deliveries = tuple(
            replace(one, payload=one.payload.model_copy(update={"prefer_fields": {}}))
            if isinstance(one.payload, DirtyData)
            else one
            for one in work.deliveries
        )
        return super()._decide(entity, replace(work, deliveries=deliveries), snapshot, now)


def _for_good() -> Parts:
    """What was chosen for a field decides about every later edit of it as well, as if both sides met each time."""
    chosen: dict[tuple[str, str], Side] = {}

    class Mutant(Sync):
        def _decide(self, entity: EntityMapping, work: Work, snapshot: Snapshot, now: datetime) -> Decision:
            context = work.context(entity, now, one_way=False)
            chosen.update({(entity.name, name): side for name, side in context.prefer_fields.items()})
            link = snapshot.link
            bases = {name: base for name, base in link.bases.items() if (entity.name, name) not in chosen}
            forgetful = replace(snapshot, link=link.model_copy(update={"bases": bases}))
            return super()._decide(_preferring(entity, chosen), work, forgetful, now)

    return Parts(sync=Mutant)


def _preferring(entity: EntityMapping, chosen: Mapping[tuple[str, str], Side]) -> EntityMapping:
    """The mapping with these sides for the policies of fields."""
    fields = {
        name: rule.model_copy(update={"on_conflict": chosen.get((entity.name, name), rule.on_conflict)})
        for name, rule in entity.fields.items()
    }
    other = entity.model_copy(update={"fields": fields})
    other.__dict__.pop("rules", None)  # a copy keeps what was derived from the fields before
    return other


CHOICE_MUTATIONS: Final[dict[str, Callable[[], Parts]]] = {
    "a chosen side wins without a record": lambda: Parts(sync=_Unrecorded),
    "a chosen side is not heard": lambda: Parts(sync=_Unheard),
    "a chosen side wins over later edits": _for_good,
}
