"""A first sync of two full systems, played: its plan, the operator's choices and the load, while everything goes on.

The commands are the flows behind `ops first-sync`, put together as the command line does, with an operator who breaks
them off and begins again. The account of what may come of it is the checker's own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, cast

from shared.errors import SyncError
from shared.flows.operate.first_sync.choices import Choices
from shared.flows.operate.first_sync.fit import drifted, outdated
from shared.flows.operate.first_sync.memory import plan_of, store_plan
from shared.flows.operate.first_sync.plan import EntityPlan
from shared.flows.operate.first_sync.planner import Planner, Sources
from shared.flows.operate.first_sync.preconditions import preconditions
from shared.flows.operate.first_sync.run import Part, Runner
from shared.flows.operate.first_sync.staging import Staging
from shared.flows.operate.parked import Queues
from shared.flows.reconcile.first_sync import progress_of
from tests.simulation.before import Filling, Found
from tests.simulation.choices import Words, drawn
from tests.simulation.desk import Desk
from tests.simulation.edits import Cell, Edit, Side, across
from tests.simulation.history import History
from tests.simulation.observe import Observer
from tests.simulation.parking import folded
from tests.simulation.people import People
from tests.simulation.tables import CELLS, FIELDS
from tests.simulation.trace import Trace
from tests.simulation.watched_ledger import WatchedLedger
from tests.simulation.webhooks import Webhooks
from tests.simulation.worker import Worker

FIRST_SYNC: Final = "first sync"
"""Played in place of the others, so that a seed without it is the same run as before there was any."""
PATIENCE: Final = timedelta(minutes=2)
LEFTOVERS: Final = 120.0
MOST_TRIES: Final = 30


class FirstSync:
    """Plays and judges. `untold` are (side, entity, id) of what was there before, until a run has come to its end."""

    def __init__(
        self,
        people: People,
        webhooks: Webhooks,
        workers: Sequence[Worker],
        ledger: WatchedLedger,
        history: History,
        observer: Observer,
        rng: Random,
        trace: Trace,
        *,
        sweep: Callable[[], Awaitable[int]],
        rest: Callable[[], Awaitable[None]],
    ) -> None:
        """`sweep` is the timer's pass; `rest` waits until nothing is under way."""
        self._people = people
        self._webhooks = webhooks
        self._workers = workers
        self._ledger = ledger
        self._history = history
        self._observer = observer
        self._rng = rng
        self._trace = trace
        self._sweep = sweep
        self._rest = rest
        self._found: list[Found] = []
        self._first: dict[Cell, Edit | None] = {}
        self._said: list[Words] = []
        self._begun = self._begun_at_work = self._is_over = False
        self.untold: set[tuple[str, str, str]] = set()

    def fill(self) -> None:
        """Fill both systems, before the product ever runs: no message, no webhook, no link."""
        self._webhooks.registered = False
        self._found = Filling(self._people, self._rng).fill()
        self._webhooks.registered = True
        self._first = {cell: cell.edit for cell in self._history.cells.values()}
        for one in self._found:
            self.untold |= {(side, one.entity, name) for side, name in _names(one)}
            if one.retired and one.row is not None:
                self._observer.touched.add((one.entity, one.row))
        self._people.untold -= self.untold
        self._observer.saved.clear()

    async def work(self) -> None:
        """Plan and run, while people edit; the run is broken off now and then, and begun again."""
        await asyncio.sleep(self._rng.uniform(0.0, 10.0))
        looks = asyncio.create_task(self._look_on()) if self._rng.random() < 0.5 else None
        planned = False
        for _ in range(self._rng.randint(8, MOST_TRIES)):
            if not planned or self._rng.random() < 0.15:
                planned |= await self._command("plan", self._plan, None) is not None
                await asyncio.sleep(self._rng.uniform(0.0, 60.0 if planned else 10.0))
                continue
            seconds = self._rng.uniform(0.2, 60.0) if self._rng.random() < 0.5 else None
            if await self._command("run", self._run, seconds) == 0:
                break
            await asyncio.sleep(self._rng.uniform(1.0, 40.0))
        # A run that broke off before it had stored that it is open has handed nothing over.
        self._begun_at_work = self._begun and await progress_of(self._ledger) is not None
        self._is_over = True
        if looks is not None:
            await looks

    async def end(self) -> None:
        """Run until nothing is left to do; judge what became of the choices."""
        left: int | None = None
        for _ in range(MOST_TRIES):
            await self._command("plan", self._plan, None)
            left = await self._command("run", self._run, None)
            await self._rest()
            if left == 0:
                break
            await asyncio.sleep(60.0)  # until a worker has been started anew
        if left != 0:
            self._history.violations.append(f"the first sync does not come to its end: {left} records are left")
            return
        self._history.violations += [*self._disobeyed(), *self._apart()]
        self.untold = {one for found in self._found if self._left_out(found) for one in _addresses(found)}

    async def _command[T](self, name: str, command: Callable[[Desk], Any], seconds: float | None) -> int | None:
        """Run a command on one of the machines, broken off after so many seconds; gives what is left, if it ended."""
        alive = [worker for worker in self._workers if not worker.process.dead.is_set()]
        self._trace("operator", f"first-sync {name}")
        try:
            async with asyncio.timeout(seconds):
                left: int | None = await alive[0].operate(command) if alive else None
        except (SyncError, asyncio.CancelledError, TimeoutError) as error:
            self._trace("operator", f"first-sync {name} is broken off: {error!r}")
            return None
        self._trace("operator", f"first-sync {name} ends: {left} left")
        return left

    async def _plan(self, desk: Desk) -> int | None:
        # Whoever begins again at the end does not change the choices.
        words = self._said[-1] if self._is_over and self._said else drawn(self._rng)
        choices, now = words.choices(desk), desk.clock.now()
        with ExitStack() as stack:
            plans = [plan for plan, _ in await _compared(desk, choices, stack, None)]
        if cannot := [found for plan in plans for found in plan.cannot]:
            self._history.violations.append(f"a first sync cannot begin: {cannot[0]}")
            return None
        # What fails in the answer may have been stored all the same.
        self._said.append(words)
        for entity, names in FIELDS.items():
            for name in names:
                if (side := words.side(entity, name)) is not None:
                    self._history.chosen[entity, name].add(side)
        await store_plan(desk.ledger, now, choices, desk.mapping, plans)
        self._trace("operator", f"chooses {words}")
        return sum(plan.messages for plan in plans)

    async def _run(self, desk: Desk) -> int | None:
        """As `ops first-sync run` does; gives how many records another run would hand over, None if it refuses."""
        stored = await plan_of(desk.ledger)
        if stored is None:
            return None
        last = await progress_of(desk.ledger)
        alive = last.at if last is not None and last.started >= stored.at else None
        if outdated(stored, desk.mapping, desk.clock.now(), alive):
            return None
        rate = self._rng.choice((0.2, 1.0, 5.0, 100.0))
        runner = Runner(desk.ledger, desk.router, cast("Queues", desk.queues), desk.clock, rate=rate)
        deadline = desk.clock.monotonic() + LEFTOVERS
        for name in stored.entities:
            # As the command does: a queue tells nobody that it is empty.
            while (await runner.waiting(name)).fresh and desk.clock.monotonic() < deadline:  # noqa: ASYNC110
                await asyncio.sleep(1.0)
        with ExitStack() as stack:
            found = await _compared(desk, stored.choices, stack, stored.at if alive is None else alive)
            if drifted(stored, [plan for plan, _ in found]):
                return None
            self._begun = True
            await runner.go([part for _, part in found], PATIENCE, lambda _: None)
        with ExitStack() as stack:
            return sum(plan.messages for plan, _ in await _compared(desk, stored.choices, stack, None))

    def _disobeyed(self) -> Iterator[str]:
        """Pairs in which another side won than the operator chose in every plan.

        What a person saves before both sides have met has a message of its own, which may have them meet without the
        choice, whether or not a field has changed.
        """
        for one in self._found if self._begun_at_work else ():
            link = self._ledger.link_of_row(one.entity, one.row or "")
            if one.record is None or link is None or link.cmms_id != one.record:
                continue
            if not self._observer.saved.isdisjoint(_addresses(one)):
                continue
            for conflict in link.conflicts:
                sides = {words.side(one.entity, conflict.field) for words in self._said}
                if conflict.why == "first_contact" and None not in sides and sides == {across(conflict.winner)}:
                    yield f"{one.entity} {one.key} {conflict.field}: {conflict.winner} won, and {sides} was chosen"

    def _apart(self) -> Iterator[str]:
        """Pairs that nobody has touched, and that are no pair by now."""
        for one in self._found:
            if None in {one.record, one.row} or self._left_out(one) or self._was_touched(one):
                continue
            link = self._ledger.link_of_row(one.entity, str(one.row))
            if link is None or link.cmms_id != one.record:
                yield f"{one.entity} {one.key}: the first sync did not link #{one.record} with the row {one.row}"

    def _was_touched(self, found: Found) -> bool:
        """Whether anybody has edited or deleted the record or the row since the beginning."""
        gone = self._observer.deleted.keys() | self._observer.removed.keys()
        if not gone.isdisjoint((found.entity, name) for _, name in _names(found)):
            return True
        cells = [
            self._history.cell(side, found.entity, name, of)
            for side, name in _names(found)
            for of in CELLS[found.entity]
        ]
        return any(edit.cell is cell and edit is not self._first.get(cell) for cell in cells for edit in cell.held)

    def _left_out(self, found: Found) -> bool:
        """Whether a run leaves this to a person or to the timer, by the checker's own account."""
        history, words = self._history, self._said[-1]
        if found.entity == "order" and not history.rules.orders:
            return True
        own = {key for side, name in _names(found) for key in history.keys[side, found.entity, name]}
        others = {key for (_, entity, _), keys in history.keys.items() if entity == found.entity for key in keys}
        near = any(folded(key) == folded(other) and key != other for key in own for other in others)
        lonely = any(not history.partners[side, found.entity, name] for side, name in _names(found))
        return near or (lonely and words.create_in not in {None, "both"})

    async def _look_on(self) -> None:
        """Let the timer look now and then, once a run is open: before, all that has not met is the timer's business."""
        while not self._is_over:
            await asyncio.sleep(self._rng.uniform(20.0, 200.0))
            if self._begun and await progress_of(self._ledger) is not None:
                await self._sweep()


def _names(found: Found) -> Iterator[tuple[Side, str]]:
    if found.record is not None:
        yield "cmms", found.record
    if found.row is not None:
        yield "dynamics", found.row


def _addresses(found: Found) -> Iterator[tuple[str, str, str]]:
    return ((side, found.entity, name) for side, name in _names(found))


async def _compared(
    desk: Desk, choices: Choices, stack: ExitStack, since: datetime | None
) -> list[tuple[EntityPlan, Part]]:
    """Compare every entity, as `plan` and `run` do; what is staged lies open until `stack` ends."""
    planner = Planner(Sources(desk.ledger, desk.dynamics, desk.cmms, desk.clock))
    found = []
    for name, chosen in choices.entities.items():
        mapped = desk.mapping.entities[name]
        before = await preconditions(mapped, desk.platform)
        staging = stack.enter_context(Staging())
        plan = (
            EntityPlan(name, cannot=before.cannot)
            if before.cannot
            else await planner.plan(staging, before.entity, chosen, since=since)
        )
        found.append((plan, Part(mapped, chosen, plan.messages, staging)))
    return found
