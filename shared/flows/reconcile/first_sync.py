"""How far a first sync has come: a small text beside the ledger, which the run writes and everybody else reads.

While a first sync is open, records that have not met yet are its business: the reconciliation neither repairs them nor
counts them for the brake.
"""

from datetime import datetime, timedelta
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.flows.ports.engine import State

ABANDONED: Final = timedelta(hours=24)
"""How long after its last sign of life an unfinished first sync still counts as open."""
SILENT: Final = timedelta(minutes=1)
"""After so long without a sign of life a run was interrupted: it gives one every few seconds."""
_NAME: Final = "first-sync/progress"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class EntityProgress(_Frozen):
    """One entity, in messages: of `total`, `sent` were handed over, of which `waiting` still lie on the queue.

    Of those, `retried` failed at least once by themselves, and `throttled` wait for a side that asked for time or gave
    no answer. `parked` are copies on the queue `parked`, several where several fields of a record are.
    """

    total: int
    sent: int = 0
    waiting: int = 0
    retried: int = 0
    throttled: int = 0
    parked: int = 0

    @property
    def done(self) -> int:
        """Messages that have ended."""
        return max(self.sent - self.waiting, 0)


class Progress(_Frozen):
    """A run: since when, how far at which instant, and when it ended; None while it goes on or was interrupted."""

    run: str
    started: datetime
    at: datetime
    entities: dict[str, EntityProgress]
    ended: datetime | None = None

    @property
    def total(self) -> int:
        """Messages of the whole run."""
        return sum(one.total for one in self.entities.values())

    @property
    def done(self) -> int:
        """Messages that have ended."""
        return sum(one.done for one in self.entities.values())

    @property
    def portion(self) -> float:
        """What has ended of the whole, from 0 to 1."""
        return self.done / self.total if self.total else 1.0

    @property
    def rate(self) -> float:
        """Messages that ended in a second, since the start."""
        return self.done / max((self.at - self.started).total_seconds(), 0.001)

    @property
    def remaining(self) -> timedelta | None:
        """How long the rest takes at that rate; None before anything has ended."""
        return timedelta(seconds=(self.total - self.done) / self.rate) if self.done else None

    def was_interrupted(self, now: datetime) -> bool:
        """Whether it is open and nobody works on it any more."""
        return self.is_open(now) and now - self.at > SILENT

    def is_open(self, now: datetime) -> bool:
        """Whether the records that it has not reached yet are still its business."""
        return self.ended is None and now - self.at < ABANDONED


async def progress_of(state: State) -> Progress | None:
    """The newest first sync, open or ended; None where there was none, or where it cannot be read."""
    texts = await state.get_state([_NAME])
    try:
        return Progress.model_validate_json(texts[_NAME]) if _NAME in texts else None
    except ValidationError:
        return None


async def store_progress(state: State, progress: Progress) -> None:
    """Remember how far a first sync has come."""
    await state.put_state({_NAME: progress.model_dump_json()})


async def under_way(state: State | None, now: datetime) -> frozenset[str]:
    """The entities whose first sync is open."""
    progress = await progress_of(state) if state is not None else None
    return frozenset(progress.entities) if progress is not None and progress.is_open(now) else frozenset()
