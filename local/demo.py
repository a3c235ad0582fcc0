"""`make demo`: the whole job over real protocols, played and checked step by step."""

import argparse
import io
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

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


def report_of(folder: Path) -> Path | None:
    """The page of the run that found most drift, the newest of several; None where no report was kept."""
    found = []
    for data in folder.glob("[0-9]*.json"):
        drifted = sum(json.loads(data.read_text(encoding="utf-8"))["drift"].values())
        found.append((drifted, data.name, data.with_suffix(".html")))
    return max(found)[2] if found else None


def main() -> int:
    """Play everything; answers the exit code: 1 if a check failed."""
    parser = argparse.ArgumentParser(prog="python -m local.demo", description=__doc__)
    parser.add_argument("--picture", metavar="FILE", help="also draw the table of results as SVG")
    picture = parser.parse_args().picture
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
    if picture:
        drawn = Console(record=True, width=110, file=io.StringIO())
        drawn.print(results.table())
        drawn.save_svg(picture, title="make demo")
    for sentence in ended:
        console.print(sentence, style="red", markup=False)
    seconds = time.monotonic() - begun
    verdict = f"{results.failed} of {len(results.rows)} checks failed" if results.failed else "Every check passed"
    console.print(
        f"{verdict}, in {seconds:.0f} s. Logs and ledger of this run: {folder.relative_to(folder.parents[1])}/"
    )
    report = report_of(folder / "reports")
    if report is not None:
        console.print(f"The report that shows drift; open it in a browser:\n{report.as_uri()}", soft_wrap=True)
    console.print("To try all of it by hand, with a console in the browser: make up")
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
