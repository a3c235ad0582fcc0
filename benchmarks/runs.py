"""The runs made so far, as JSON in build/bench: an interrupted measurement goes on where it stopped."""

import json
import os
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from benchmarks.scenario import Figures, Scenario, Size
from local.run import ROOT

FOLDER: Final = ROOT / "build" / "bench"


@dataclass(frozen=True)
class Run:
    """One run of one variant; `load` is the machine's load average of the last minute, before and after."""

    variant: str
    figures: Figures
    load: tuple[float, float]
    at: str
    commit: str


@dataclass(frozen=True)
class Spread:
    """The median of some runs, and the smallest and the largest."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


class Runs:
    """The runs of one scenario at one size."""

    def __init__(self, scenario: Scenario, size: Size, folder: Path = FOLDER) -> None:
        self._path = folder / size.name / f"{scenario.name}.json"
        self.all: list[Run] = []
        if self._path.exists():
            saved: list[dict[str, Any]] = json.loads(self._path.read_text(encoding="utf-8"))
            self.all = [Run(**{**one, "load": tuple(one["load"])}) for one in saved]

    def of(self, variant: str) -> list[Run]:
        """The runs of one variant, oldest first."""
        return [run for run in self.all if run.variant == variant]

    def spread(self, variant: str, figure: str) -> Spread | None:
        """The median and the spread of a figure; None where no run yielded it."""
        values = [run.figures[figure] for run in self.of(variant) if figure in run.figures]
        return Spread.of(values) if values else None

    def add(self, variant: str, figures: Figures, before: float) -> None:
        """Keep a run; `before` is the load average when it began."""
        load = (round(before, 1), round(os.getloadavg()[0], 1))
        kept = {name: round(float(value), 4) for name, value in figures.items()}
        self.all.append(Run(variant, kept, load, f"{datetime.now(UTC):%Y-%m-%d %H:%M}", commit()))
        self._save()

    def forget(self, variants: Iterable[str]) -> None:
        """Drop the runs of some variants."""
        gone = set(variants)
        self.all = [run for run in self.all if run.variant not in gone]
        self._save()

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps([asdict(run) for run in self.all], indent=1) + "\n"
        # In one step, so that an interruption leaves the old file or the new one.
        new = self._path.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.replace(self._path)


def commit() -> str:
    """The commit that is measured, such as `1a2b3c4`; empty without git.

    With `+` where files differ from it; but for the documents, into which the runs before this one were written.
    """
    try:
        said = _git("describe", "--always", "--exclude=*")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)docs")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{said}+" if changed else said


def _git(*arguments: str) -> str:
    said = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603, S607  # wherever git is
    return said.stdout.strip()
