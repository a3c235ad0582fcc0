"""The outcome of a decision."""

from functools import cached_property

from msgspec import Struct, field

from shared.domain.blocked import Blocked
from shared.domain.decide.situation import Context, Snapshot
from shared.domain.link import Link, Stored
from shared.domain.merge import Merged
from shared.domain.write import Write
from shared.errors import IntentHeld, TransientError


class Plan(Struct, frozen=True, dict=True):
    """What to do about one link: store it, then write; `blocked` is parked, once per value.

    `stored` is the link as read, which the plan replaces by `link`. `holder` is the link of a deleted record as read,
    which gives up the row that this one takes. `unfinished` asks for another look once the writes are confirmed.
    `decided` tells that the plan judged every field, so that earlier parks are over but for the fields `still_parked`:
    what a side refused before, and would be sent again unchanged.
    """

    stored: Stored
    link: Link
    to_dynamics: Write | None = None
    to_cmms: Write | None = None
    blocked: tuple[Blocked, ...] = ()
    merged: Merged = field(default_factory=Merged)
    holder: Stored | None = None
    unfinished: bool = False
    decided: bool = False
    still_parked: frozenset[str] = frozenset()

    @cached_property
    def writes(self) -> tuple[Write, ...]:
        """The writes to either side."""
        return tuple(filter(None, (self.to_dynamics, self.to_cmms)))

    @property
    def is_announced(self) -> bool:
        """Whether the ledger stores something before anything is done: intents, or another link that lets go."""
        return bool(self.writes) or self.holder is not None


class Wait(Struct, frozen=True):
    """Nothing can be decided yet; the message is tried again."""

    error: TransientError


type Decision = Plan | Wait


def being_written(link: Link, context: Context) -> Wait | None:
    """Wait while another worker is writing a link; at the latest until the end of its intent."""
    intent = link.live_intent(context.now)
    if intent is None:
        return None
    return Wait(IntentHeld(f"Another worker is writing {link.key} right now.", ends_in=intent.expires_at - context.now))


def nothing(snapshot: Snapshot) -> Plan:
    """A plan without writes."""
    return Plan(snapshot.stored, snapshot.link)


def held(snapshot: Snapshot, *blocked: Blocked) -> Plan:
    """A plan that only parks; its link has a key, so that people can find it."""
    return Plan(snapshot.stored, snapshot.link.model_copy(update={"key": snapshot.key}), blocked=blocked)
