"""Carries out a first sync in the terminal: fit, question, progress, end report."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ops.first_sync.compare import Compared, compare
from ops.first_sync.page import Page, write_page
from ops.first_sync.show import show_plan
from ops.first_sync.words import Change, changes, chosen, duration, in_words, progress_document, told
from ops.output import plain, stamp, table
from ops.session import ExitCode, Session, UsageError
from shared.domain.words import plural
from shared.flows.operate.first_sync.fit import drifted, outdated
from shared.flows.operate.first_sync.memory import StoredPlan, plan_of
from shared.flows.operate.first_sync.plan import EntityPlan
from shared.flows.operate.first_sync.run import Runner
from shared.flows.operate.parked import Waiting
from shared.flows.reconcile.first_sync import Progress as Run
from shared.flows.reconcile.first_sync import progress_of

_SHOWN: Final = 5
_MOST_PARKED: Final = 1000
_LEFTOVERS: Final = timedelta(minutes=10)
_EVERY: Final = 1.0
_LINE_EVERY: Final = 10.0


async def carry_out(
    session: Session, *, rate: float, patience: timedelta, yes: bool, report_file: Path | None, open_page: bool
) -> int:
    """Run the stored plan.

    Returns:
        The exit code.

    Raises:
        UsageError: There is no plan.
        SyncError: Something could not be read, or a queue failed.
    """
    wiring = session.wiring
    stored = await plan_of(wiring.state)
    if stored is None:
        raise UsageError("There is no plan yet: 'first-sync plan' makes one, to be read before anything is written.")
    last = await progress_of(wiring.state)
    alive = last.at if last is not None and last.started >= stored.at else None
    if problems := outdated(stored, wiring.mapping, wiring.clock.now(), alive):
        return _refused(session, problems)
    runner = Runner(wiring.state, wiring.router, session.queues, wiring.clock, rate=rate)
    await _settled(session, runner, stored)
    with ExitStack() as stack:
        compared = await compare(session, stored.choices, stack, since=stored.at if alive is None else alive)
        if problems := drifted(stored, [one.plan for one in compared]):
            return _refused(session, problems)
        total = sum(one.plan.messages for one in compared)
        if not yes and not _agreed(session, compared, stored, total):
            session.note("Nothing was changed.")
            return ExitCode.FINDINGS
        with _Bar(session) as bar:
            done = await runner.go([one.part for one in compared], patience, bar.show)
    parked = await runner.parked()
    with ExitStack() as stack:
        after = [one.plan for one in await compare(session, stored.choices, stack, since=None)]
    return _report(session, _End(stored, done, parked, after), report_file, open_page=open_page)


def _refused(session: Session, problems: Sequence[str]) -> int:
    action = "Make a new plan with 'first-sync plan', and read it."
    if session.as_json:
        session.print_json({"refused": list(problems), "action": action})
    else:
        session.out.print("[red]The plan no longer fits. Nothing was changed.[/]")
        for text in problems:
            session.out.print(f"  {escape(plain(text))}", soft_wrap=True)
        session.out.print(action)
    return ExitCode.FINDINGS


async def _settled(session: Session, runner: Runner, stored: StoredPlan) -> None:
    """Wait for what an interrupted run left on the queues: handed over anew, it would only be looked at twice."""
    deadline = session.wiring.clock.monotonic() + _LEFTOVERS.total_seconds()
    with session.err.status("looking for messages of an earlier run") as status:
        for name in stored.entities:
            while (lot := await runner.waiting(name)).fresh and session.wiring.clock.monotonic() < deadline:
                status.update(f"{name}: {plural(lot.fresh, 'message')} of an earlier run still wait to be processed")
                await asyncio.sleep(_EVERY)


def _agreed(session: Session, compared: Sequence[Compared], stored: StoredPlan, total: int) -> bool:
    if not session.as_json:
        show_plan(session, [one.plan for one in compared], stored.choices)
    return total == 0 or session.agreed(f"Hand {plural(total, 'record')} to the engine?")


class _Bar:
    """Shows a run: as a bar on a terminal, as a line now and then elsewhere."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._told = 0.0
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[more]}"),
        )
        self._bar = Progress(*columns, console=session.err, transient=True)
        self._task = self._bar.add_task("first sync", total=None, more="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, progress: Run) -> None:
        """Show how far the run has come."""
        more = in_words(progress)
        self._bar.update(self._task, total=progress.total, completed=progress.done, more=more)
        now = self._session.wiring.clock.monotonic()
        if not self._session.err.is_terminal and now - self._told >= _LINE_EVERY:
            self._session.note(f"{progress.done:,} of {plural(progress.total, 'record')}, {more}")
            self._told = now


@dataclass(frozen=True)
class _End:
    """What a run came to."""

    stored: StoredPlan
    progress: Run
    parked: Sequence[Waiting]
    after: Sequence[EntityPlan]

    @property
    def waiting(self) -> int:
        """Messages that are still tried again."""
        return sum(one.waiting for one in self.progress.entities.values())

    @property
    def left(self) -> int:
        """Records that another run would hand over."""
        return sum(one.messages for one in self.after)

    @property
    def for_a_person(self) -> int:
        """Records that the run left out."""
        return sum(one.for_a_person for one in self.after)

    @property
    def changes(self) -> dict[str, Sequence[Change]]:
        """What was planned, done and left, by entity."""
        return {one.entity: list(changes(self.stored.entities[one.entity], one)) for one in self.after}

    @property
    def fine(self) -> bool:
        """Whether nothing is left to do for anybody."""
        return not (self.parked or self.left or self.waiting or self.for_a_person)

    @property
    def sentence(self) -> str:
        """The end in one sentence."""
        seconds = (self.progress.at - self.progress.started).total_seconds()
        parts = [f"{plural(self.progress.done, 'record')} in {duration(seconds)}"]
        for count, words in (
            (len(self.parked), "parked"),
            (self.waiting, "still tried again by themselves"),
            (self.left, "left: run again"),
            (self.for_a_person, "left out for a person"),
        ):
            parts += [f"{count:,} {words}"] if count else []
        return ("The first sync is done: " if self.fine else "The first sync has ended: ") + ", ".join(parts) + "."


def _report(session: Session, end: _End, report_file: Path | None, *, open_page: bool) -> int:
    reasons = Counter((one.entity, one.reason) for one in end.parked)
    if report_file is not None or open_page:
        parked = [(one.entity, one.key, one.reason, one.text) for one in end.parked[:_MOST_PARKED]]
        page = Page(session.wiring.clock.now(), end.stored.choices, end.after, None, end.changes, end.sentence, parked)
        write_page(session, page, report_file, open_page=open_page)
    if session.as_json:
        session.print_json(
            {
                "run": progress_document(end.progress),
                "entities": {name: [asdict(one) for one in lines] for name, lines in end.changes.items()},
                "parked": [
                    {"entity": one.entity, "key": one.key, "reason": one.reason, "field": one.properties.get("field")}
                    for one in end.parked
                ],
                "left": end.left,
                "for_a_person": end.for_a_person,
                "waiting": end.waiting,
            }
        )
        return ExitCode.FINE if end.fine else ExitCode.FINDINGS
    out = session.out
    for name, lines in end.changes.items():
        rows = [(one.what, f"{one.planned:,}", f"{one.done:,}", f"{one.left:,}") for one in lines]
        table(out, (name, "planned", "done", "left"), rows)
        out.print()
    for (entity, reason), count in reasons.most_common():
        keys = [one.key for one in end.parked if (one.entity, one.reason) == (entity, reason)]
        text = f"{entity}: {plural(count, 'message')} parked as {reason}, such as {', '.join(keys[:_SHOWN])}"
        out.print(f"[red]{escape(plain(text))}[/] ('parked list --reason {escape(reason)}')", soft_wrap=True)
    style = "green" if end.fine else "yellow"
    out.print(f"[{style}]{escape(end.sentence)}[/]", soft_wrap=True)
    return ExitCode.FINE if end.fine else ExitCode.FINDINGS


async def show_status(session: Session) -> int:
    """Show the last plan and its run.

    Returns:
        The exit code: 1 while a run is under way or was interrupted.
    """
    state, now = session.wiring.state, session.wiring.clock.now()
    stored, run = await plan_of(state), await progress_of(state)
    is_open = run is not None and run.is_open(now)
    if session.as_json:
        session.print_json(
            {
                "plan": None if stored is None else stored.model_dump(mode="json"),
                "run": None if run is None else progress_document(run),
                "under_way": is_open,
            }
        )
        return ExitCode.FINDINGS if is_open else ExitCode.FINE
    out = session.out
    if stored is None:
        out.print("There is no plan yet: 'first-sync plan' makes one.")
    else:
        total = sum(one.messages for one in stored.entities.values())
        out.print(f"Plan of {stamp(stored.at)}: {plural(total, 'record')} take part.")
        for text in chosen(stored.choices):
            out.print(escape(plain(text)), soft_wrap=True)
    if run is not None:
        out.print(escape(told(run, now)), soft_wrap=True)
    return ExitCode.FINDINGS if is_open else ExitCode.FINE
