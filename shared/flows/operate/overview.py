"""Everything at a glance: queues, what is parked by reason, the brake, the last reconciliation, and the lag."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from copy import replace
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from shared.domain.messages.queues import ALL, PARKED
from shared.domain.words import plural, word_for
from shared.errors import SyncError
from shared.flows.operate.parked import Queues, Survey, Waiting
from shared.flows.ports.engine import State
from shared.flows.reconcile.checkpoint import BrakeState, Checkpoint
from shared.flows.reconcile.first_sync import Progress, progress_of
from shared.flows.reconcile.report import PastRun

BACKLOG: Final = timedelta(minutes=15)
"""From when the oldest message of a queue has waited for so long that somebody should look."""
OVERDUE: Final = timedelta(hours=1)
"""A reconciliation that is older was missed three times at the usual interval."""
_MOST_PARKED: Final = 20_000
_MOST_COUNTED: Final = 5000
_FEW: Final = 250
"""Parked messages are read as a whole, and need no counting beside."""
_PATIENCE: Final = 10.0


class Reached(Protocol):
    """One question to a side or a part, which raises SyncError where it gives no usable answer."""

    async def __call__(self) -> object:
        """Ask."""


@dataclass(frozen=True)
class Health:
    """Whether a part answers; `problem` says why not."""

    name: str
    problem: str = ""


@dataclass(frozen=True)
class QueueView:
    """A queue, or the problem that kept it from being counted."""

    name: str
    survey: Survey = field(default_factory=Survey)
    problem: str = ""


@dataclass(frozen=True)
class Overview:
    """The state of an installation at one moment. `parked` counts `messages` by reason, the most frequent first.

    `first_sync` is the newest run of a first sync, open or ended.
    """

    at: datetime
    health: tuple[Health, ...]
    queues: tuple[QueueView, ...]
    parked: tuple[tuple[str, int], ...]
    brake: BrakeState | None
    runs: tuple[PastRun, ...]
    pending: int
    messages: tuple[Waiting, ...] = field(default=(), repr=False)
    first_sync: Progress | None = None

    @property
    def last_run(self) -> PastRun | None:
        """The last reconciliation that compared something."""
        return self.runs[-1] if self.runs else None

    @property
    def problems(self) -> tuple[str, ...]:
        """Why parts gave no answer, as sentences that begin with the part's name."""
        parts: list[Health | QueueView] = [*self.health, *self.queues]
        return tuple(f"{one.name}: {one.problem}" for one in parts if one.problem)

    @property
    def unreachable(self) -> bool:
        """Whether a part gave no answer."""
        return bool(self.problems)

    @property
    def concerns(self) -> tuple[str, ...]:
        """What a person should look at, as sentences; empty when all is well."""
        return tuple(_concerns(self))


class Overseer:
    """Reads an overview. What cannot be read is part of it, and costs the rest nothing."""

    def __init__(
        self, queues: Queues, state: State, probes: Sequence[tuple[str, Reached]], now: Callable[[], datetime]
    ) -> None:
        """`probes` are the parts to ask, by their names for people; `now` tells the time."""
        self._queues = queues
        self._state = state
        self._probes = probes
        self._now = now

    async def look(self) -> Overview:
        """Read everything at once."""
        health, queues, parked, (memory, first_sync) = await asyncio.gather(
            asyncio.gather(*(_reached(name, ask) for name, ask in self._probes)),
            asyncio.gather(*(self._queue(queue.name) for queue in ALL)),
            self._parked(),
            self._memory(),
        )
        remembered = memory if isinstance(memory, Checkpoint) else Checkpoint(None)
        problems = [memory] if isinstance(memory, Health) else []
        return Overview(
            at=self._now(),
            health=(*health, *problems),
            queues=tuple(_complete(one, parked) for one in queues),
            parked=tuple(Counter(one.reason for one in parked).most_common()),
            brake=remembered.brake,
            runs=remembered.marks.runs,
            pending=sum(map(len, remembered.pending.values())),
            messages=tuple(parked),
            first_sync=first_sync,
        )

    async def _queue(self, name: str) -> QueueView:
        try:
            return QueueView(name, await self._queues.survey(name, _FEW if name == PARKED.name else _MOST_COUNTED))
        except SyncError as error:
            return QueueView(name, problem=error.message)

    async def _parked(self) -> list[Waiting]:
        found: list[Waiting] = []
        try:
            async for page in self._queues.peek(PARKED.name):
                found.extend(page)
                if len(found) >= _MOST_PARKED:
                    break
        except SyncError:
            return found  # the queue's own line says so
        return found

    async def _memory(self) -> tuple[Checkpoint | Health, Progress | None]:
        try:
            return await Checkpoint.load(self._state), await progress_of(self._state)
        except SyncError as error:
            return Health("ledger", error.message), None


async def _reached(name: str, ask: Reached) -> Health:
    try:
        async with asyncio.timeout(_PATIENCE):
            await ask()
    except SyncError as error:
        return Health(name, error.message)
    except TimeoutError:
        return Health(name, f"No answer within {_PATIENCE:.0f} s.")
    return Health(name)


def _complete(queue: QueueView, parked: Sequence[Waiting]) -> QueueView:
    """The queue `parked` as its messages themselves tell it."""
    if queue.name != PARKED.name or queue.problem:
        return queue
    oldest = min((one.enqueued_at for one in parked), default=None)
    return replace(
        queue, survey=replace(queue.survey, waiting=len(parked), oldest=oldest, more=len(parked) >= _MOST_PARKED)
    )


def _concerns(view: Overview) -> list[str]:
    found = list(view.problems)
    for queue in view.queues:
        if queue.survey.dead:
            found.append(f"{queue.name} has {plural(queue.survey.dead, 'dead letter')}: given up by the broker.")
        oldest = queue.survey.oldest
        if queue.name != PARKED.name and oldest is not None and view.at - oldest > BACKLOG:
            minutes = (view.at - oldest).total_seconds() // 60
            found.append(f"The oldest message of {queue.name} has waited for {minutes:,.0f} minutes.")
    if view.parked:
        total = sum(count for _, count in view.parked)
        found.append(f"{plural(total, 'parked message')} {word_for(total, 'waits')} for a person.")
    if view.brake is not None and not view.brake.allowance:
        found.append(f"The brake holds {plural(view.brake.held, 'repair')}.")
    run = view.first_sync
    if run is not None and run.was_interrupted(view.at):
        how_far = f"{run.done:,} of {plural(run.total, 'record')}"
        found.append(f"The first sync was interrupted at {run.at:%Y-%m-%dT%H:%M:%SZ}, at {how_far}: run it again.")
    if view.last_run is not None and view.at - view.last_run.at > OVERDUE:
        found.append(f"The last reconciliation was at {view.last_run.at:%Y-%m-%dT%H:%M:%SZ}.")
    return found
