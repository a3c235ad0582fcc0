"""Rule 6: what the ledger remembers once a round's writes have been answered. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from shared.domain.blocked import RECORD, digest
from shared.domain.decide import Plan
from shared.domain.decide.in_doubt import base
from shared.domain.link import Link, ParkedField
from shared.domain.loop_detection import remember
from shared.domain.model import Record, other, without
from shared.domain.schema.mapping import EntityMapping
from shared.domain.write import Intent
from shared.flows.sync.answer import Answer


def committed(entity: EntityMapping, plan: Plan, link: Link, answers: Sequence[Answer], now: datetime) -> Link:
    """The link after a round.

    Args:
        entity: The record's mapping.
        plan: What was to be done.
        link: As announced; without writes, the plan's own link.
        answers: One for each announced write.
        now: In UTC.

    Returns:
        Both bases follow each confirmed write; a refused write is forgotten; a write without an answer stays in doubt.
    """
    for answer in answers:
        if answer.unknown:
            link = _in_doubt(link, answer.intent, now)
        elif answer.record is None:
            link = _forgotten(link, plan, answer)
        else:
            link = _confirmed(entity, link, answer, answer.record, now)
    chosen = without(link.chosen, link.bases)
    return link.model_copy(update={"parked": _parked(plan, link, answers), "chosen": chosen, "last_sync": now})


def _in_doubt(link: Link, intent: Intent, now: datetime) -> Link:
    """Nobody needs to wait for this worker any more: from now on the side's own evidence decides."""
    over = intent.model_copy(update={"expires_at": min(intent.expires_at, now)})
    return link.model_copy(update={"intents": (*link.without(intent).intents, over)})


def _forgotten(link: Link, plan: Plan, answer: Answer) -> Link:
    """The link without a write that was refused: a row that was not made is not the link's.

    A refused repeat says nothing of the tries before it: its create stays in doubt as it was.
    """
    doubted = () if answer.settles else [one for one in plan.link.intents if one.id == answer.intent.id]
    intents = (*link.without(answer.intent).intents, *doubted)
    return link.model_copy(update={"intents": intents, "row_id": plan.link.row_id})


def _confirmed(entity: EntityMapping, link: Link, answer: Answer, record: Record, now: datetime) -> Link:
    intent, decided, shown = answer.intent, answer.decided, answer.shown
    # What a new row or record holds instead of what was written may be a person's edit, but where the answer to the
    # create itself shows it: rows are read back by another request.
    untouched = intent.side == "cmms" or record.untouched_since == intent.id
    edited = intent.creates and not (answer.error is None and untouched)
    bases = {name: base(entity, intent, name, shown.get(name), edited=edited) for name in decided}
    history = {
        name: remember(link.written.get(name, ()), intent.side, digest(intent.values[name]), now)
        for name in decided & intent.values.keys()
    }
    return link.model_copy(
        update={
            "bases": link.bases | bases,
            "written": link.written | history,
            # Nothing else that was announced for this side can land any more: the etag has moved.
            "intents": link.intents_of(other(intent.side)),
            "seen": link.seen.after(record),
            "cmms_id": record.id if intent.side == "cmms" else link.cmms_id,
        }
    )


def _parked(plan: Plan, link: Link, answers: Sequence[Answer]) -> Mapping[str, ParkedField]:
    """What is parked now: what is blocked, and of the earlier parks those of which this round decided nothing."""
    blocked = {block.field: block.as_parked for block in plan.blocked}
    undecided = {name for answer in answers if answer.error for name in (RECORD, *answer.intent.sources)}
    if not plan.decided:
        undecided |= link.parked.keys()
    kept = link.parked.keys() & (undecided | plan.still_parked)
    return {name: link.parked[name] for name in kept} | blocked
