"""`make demo`: the whole job over real protocols, played and checked step by step."""

import sys
import time
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from local.playing import CheckError, Player
from local.ports import Ports
from local.processes import StackError
from local.scenes import SCENES, Scene
from local.stack import Stack


@dataclass
class Result:
    """What became of one scene."""

    scene: Scene
    passed: bool
    figures: str
    seconds: float


@dataclass
class Results:
    """All scenes so far, as one table."""

    rows: list[Result] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """Scenes whose check failed."""
        return sum(not row.passed for row in self.rows)

    def table(self) -> Table:
        """The table that the demo prints."""
        table = Table(title="Energy CMMS and Dynamics 365: the whole job", title_justify="left", show_lines=True)
        table.add_column("", justify="right")
        table.add_column("what was played and checked", ratio=3)
        table.add_column("figures", ratio=2)
        table.add_column("time", justify="right", no_wrap=True)
        for number, row in enumerate(self.rows, start=1):
            verdict = "[green]ok[/]" if row.passed else "[bold red]FAILED[/]"
            table.add_row(
                str(number),
                f"[bold]{row.scene.title}[/]\n{row.scene.check}",
                f"{verdict} {row.figures}",
                f"{row.seconds:.1f} s",
            )
        return table


def main() -> int:
    """Play everything; answers the exit code: 1 if a check failed."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    results = Results()
    begun = time.monotonic()
    try:
        console.print("Starting the local stack: broker, identity, Dataverse, CMMS and its relay, functions ...")
        with Stack(Ports.free(), settle_seconds=0, say=console.print) as stack, Player(stack) as player:
            for scene in SCENES:
                console.print(f"  {scene.title} ...")
                started = time.monotonic()
                try:
                    figures, passed = scene.play(player), True
                except CheckError as error:
                    figures, passed = str(error), False
                results.rows.append(Result(scene, passed, figures, time.monotonic() - started))
            ended, folder = stack.restarts, stack.folder
    except StackError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Stopped.")
        return 130
    console.print(results.table())
    for sentence in ended:
        console.print(sentence, style="red", markup=False)
    seconds = time.monotonic() - begun
    verdict = f"{results.failed} of {len(results.rows)} checks failed" if results.failed else "Every check passed"
    console.print(
        f"{verdict}, in {seconds:.0f} s. Logs and ledger of this run: {folder.relative_to(folder.parents[1])}/"
    )
    console.print(f"The report of the last reconciliation: {folder.relative_to(folder.parents[1])}/reports/latest.html")
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
