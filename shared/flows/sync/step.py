"""One record's plan on its way through a round: announced, answered, parked, stored."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from copy import replace
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct, field

from shared.domain.blocked import Blocked
from shared.domain.decide import Plan
from shared.domain.decide.in_doubt import may_still_land
from shared.domain.link import Link, Stored
from shared.domain.schema.mapping import EntityMapping
from shared.domain.write import Intent, Write
from shared.errors import Conflict, IntentHeld, KeyTaken, MessageTransient, RoutingFailed, SyncError, TargetTransient
from shared.flows.routing.outcomes import Again, Done, Outcome
from shared.flows.sync.answer import Answer
from shared.flows.sync.deliveries import Outcomes
from shared.flows.sync.work import Work


class Round(Struct, frozen=True):
    """The end of a round: the messages that ended, and the records that need another round."""

    outcomes: Outcomes = field(default_factory=dict)
    open: tuple[Work, ...] = ()

    def __add__(self, other: "Round") -> "Round":
        return Round.of((self, other))

    @staticmethod
    def of(parts: Iterable["Round"]) -> "Round":
        """All parts as one, each looked at once: a batch has hundreds."""
        outcomes: Outcomes = {}
        left: list[Work] = []
        for part in parts:
            outcomes |= part.outcomes
            left += part.open
        return Round(outcomes, tuple(left))

    @staticmethod
    async def beside(parts: Iterable[Awaitable["Round"]]) -> "Round":
        """Work on all parts beside each other; each is brought to its end, whatever becomes of the others.

        Raises:
            RoutingFailed: In one of the parts.
            Exception: The first part's of those that failed otherwise.
        """
        tasks = [asyncio.ensure_future(part) for part in parts]
        await asyncio.gather(*tasks, return_exceptions=True)
        tasks.sort(key=lambda one: not isinstance(one.exception(), RoutingFailed))
        return Round.of(one.result() for one in tasks)


class Step(Struct, frozen=True):
    """A plan on its way.

    `stored` is the link as the ledger holds it by now, `link` as it is to hold it next: first as announced, then as
    committed. `intents` are the plan's writes, `answers` what came back.
    """

    work: Work
    plan: Plan
    stored: Stored
    link: Link
    intents: tuple[Intent, ...] = ()
    answers: tuple[Answer, ...] = ()

    @property
    def wanted(self) -> Stored:
        """The link for the ledger to hold next."""
        return Stored(link=self.link, etag=self.stored.etag)

    @property
    def has_news(self) -> bool:
        """Whether the ledger has to hear of the link.

        What stays blocked is concluded from memory: that it still stands, only a compare-and-swap tells.
        """
        return bool(self.plan.blocked) or not self.link.same_as(self.stored.link)

    @property
    def has_moved(self) -> bool:
        """Whether the record had another row until now."""
        return self.plan.stored.link.row_id not in {None, self.link.row_id}

    def errors[T: SyncError](self, kind: type[T]) -> list[T]:
        """The failures of one kind."""
        return [answer.error for answer in self.answers if isinstance(answer.error, kind)]

    @staticmethod
    def first(entity: EntityMapping, work: Work, plan: Plan, expires_at: datetime, ids: Callable[[], UUID]) -> "Step":
        """A plan that is to be carried out: nothing is stored or sent yet."""
        intents = tuple(_intent(entity, plan.link, write, expires_at, ids) for write in plan.writes)
        link = _announced(plan.link, intents) if intents else plan.link
        return Step(work, plan, plan.stored, link, intents)

    def concluded(self, refused: Sequence[Blocked], now: datetime) -> Round:
        """The end of the record's messages, or another round for them.

        Args:
            refused: What the sides refused of the writes, as blocks.
            now: In UTC.
        """
        outages = self.errors(TargetTransient)
        # The side of a lost answer is asked at once, by another round; once only, because the side may be away.
        if outages and (isinstance(self.work.lost, TargetTransient) or not any(one.unknown for one in self.answers)):
            return Round(self.work.ends(Again(max(outages, key=lambda error: error.least_wait))))
        told = self._told(refused)
        # A create in doubt may have landed by its first try, and its source say something else by now.
        repeated = not self.plan.link.announced.isdisjoint(intent.id for intent in self.intents)
        if any((told.lost, refused, repeated, self.plan.unfinished)):
            return Round(open=(told,))
        return Round(told.ends(self._end(told, now)))

    def _told(self, refused: Sequence[Blocked]) -> Work:
        """The record's work with what the answers tell."""
        return replace(
            self.work,
            refused=(*self.work.refused, *refused),
            # A write without an answer that is found to have landed is not written again: it ends as applied as well.
            written=self.work.written.union(*(answer.written for answer in self.answers)),
            key_taken=any(answer.failed_in("dynamics", KeyTaken) for answer in self.answers),
            lost=next(iter([*self.errors(TargetTransient), *self.errors(Conflict)]), None),
        )

    def _end(self, work: Work, now: datetime) -> Outcome:
        rest = may_still_land(self.stored.link, now)
        if rest is not None:
            return Again(IntentHeld(f"A write to {work.name} has no known outcome, and may still land.", ends_in=rest))
        # Such as a row that a field refers to, and that is not there yet: another round would find the same.
        pending = self.errors(MessageTransient)
        done = Done(work.written, key=self.stored.link.key or None)
        return Again(pending[0]) if pending else done


def _announced(link: Link, intents: Sequence[Intent]) -> Link:
    """The link with its intents; a row is bound before it is made: whatever is heard of the row finds the link."""
    written = [intent.target for intent in intents if intent.side == "dynamics"]
    by_id = {intent.id: intent for intent in (*link.intents, *intents)}
    return link.model_copy(update={"intents": tuple(by_id.values()), "row_id": [*written, link.row_id][0]})


def _intent(entity: EntityMapping, link: Link, write: Write, expires_at: datetime, ids: Callable[[], UUID]) -> Intent:
    """The write under its own operation id, with the rules by which it was made.

    A create in doubt is repeated under its own name: whichever of the two comes second changes nothing.
    """
    doubted = link.create_of(write.side)
    if doubted is not None:
        said = {"values": write.values, "sources": write.sources}
        return doubted.model_copy(update={**said, "expires_at": expires_at})
    members = msgspec.structs.asdict(write)
    rules = {name: entity.rules[name].fingerprint for name in write.sources}
    operation = write.operation or str(ids())
    members["target"] = write.target or (str(ids()) if write.side == "dynamics" else None)
    return Intent(**members, id=operation, expires_at=expires_at, rules=rules)
