"""`python -m benchmarks.figures`: measure the product on this machine and write build/figures.json.

docs/performance.md says what each figure means.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.load import QUEUE, TABLE, assets, landed, parked, send
from benchmarks.stack import Bench
from benchmarks.worker import Usage
from local.run import ROOT

OUTPUT: Final = ROOT / "build" / "figures.json"
PAGE: Final = ROOT / "docs" / "performance.md"
ASSETS: Final = 10_000
BATCH: Final = 500
"""Messages to which CPU times are scaled, so that runs with batches of other sizes compare."""
BAD_ONE_IN: Final = 1_000
IMPORTS: Final = 5
_BEGIN: Final = "<!-- figures -->"
_END: Final = "<!-- /figures -->"
_IMPORT: Final = "import time; start = time.perf_counter(); import function_app; print(time.perf_counter() - start)"


@dataclass(frozen=True)
class Goal:
    """What a figure should be: at most `limit`, or exactly that."""

    limit: float
    exactly: bool = False

    def met(self, value: float) -> bool:
        """Whether a measured value is good enough."""
        return value == self.limit if self.exactly else value <= self.limit

    def __str__(self) -> str:
        return f"{'exactly' if self.exactly else 'at most'} {self.limit:g}"


GOALS: Final = {
    "create_requests_per_10k": Goal(200),
    "update_requests_per_10k": Goal(200),
    "noop_requests_per_10k": Goal(25),
    "noop_writes_per_10k": Goal(0, exactly=True),
    "dirty_requests_per_10k": Goal(300),
    "dirty_rows_landed": Goal(ASSETS - ASSETS // BAD_ONE_IN, exactly=True),
    "dirty_rows_parked": Goal(ASSETS // BAD_ONE_IN, exactly=True),
    "worker_peak_mb": Goal(250),
    "import_seconds": Goal(0.8),
    "batch500_cpu_seconds": Goal(1.0),
}


@dataclass(frozen=True)
class Phase:
    """One queue full of messages, worked off by a worker that started with all of them waiting."""

    name: str
    stats: dict[str, Any]
    usage: Usage
    seconds: float
    idle: Usage

    @property
    def batch_cpu(self) -> float:
        """The worker's CPU seconds per `BATCH` messages."""
        return (self.usage.worker_seconds - self.idle.worker_seconds) * BATCH / ASSETS

    @property
    def process_cpu(self) -> float:
        """The same with the local host's part, which receives and settles the messages."""
        return (self.usage.cpu_seconds - self.idle.cpu_seconds) * BATCH / ASSETS


def measure(bench: Bench, name: str, data: Iterable[dict[str, Any]], *, idle: Usage) -> Phase:
    """Fill the queue, then start a worker and wait until it is done.

    `idle` is what a worker uses before its first full batch: start and imports are not the batches'.
    """
    send(bench.servicebus_connection, data)
    bench.reset_stats()
    with bench.worker() as worker:
        start = time.monotonic()
        bench.wait_drained(QUEUE, worker)
        seconds = time.monotonic() - start
        usage = worker.usage()
    stats = bench.stats()
    return Phase(name, stats, usage, seconds, idle)


def idle_usage(bench: Bench) -> Usage:
    """What a worker uses to start, and to import and connect for its first batch, which here is one message."""
    send(bench.servicebus_connection, (next(assets(1, generation=0)) | {"key": "WARM-UP"},))
    with bench.worker() as worker:
        bench.wait_drained(QUEUE, worker)
        return worker.usage()


def import_seconds() -> float:
    """The median time of importing the app in a process of its own."""
    times = [
        float(subprocess.run([sys.executable, "-c", _IMPORT], cwd=ROOT, capture_output=True, check=True).stdout)  # noqa: S603  # our own interpreter
        for _ in range(IMPORTS)
    ]
    return statistics.median(times)


def run(console: Console) -> dict[str, float]:
    """Measure everything."""
    figures: dict[str, float] = {"import_seconds": round(import_seconds(), 3)}
    phases: list[Phase] = []
    with Bench() as bench:
        idle = idle_usage(bench)
        for name, generation in (("creates", 0), ("updates", 1), ("no-ops", 1)):
            console.print(f"{name}: {ASSETS} messages")
            phases.append(measure(bench, name, assets(ASSETS, generation=generation), idle=idle))
            found = landed(bench.rows(TABLE), assets(ASSETS, generation=generation))
            if found != ASSETS:
                raise RuntimeError(f"After the {name} only {found} of {ASSETS} rows hold what was said: {bench.folder}")
    bad = frozenset(range(BAD_ONE_IN // 2, ASSETS, BAD_ONE_IN))
    with Bench() as bench:
        console.print(f"dirty: {ASSETS} messages, {len(bad)} of them bad")
        phases.append(measure(bench, "dirty", assets(ASSETS, generation=0, bad=bad), idle=idle))
        figures["dirty_rows_landed"] = landed(bench.rows(TABLE), assets(ASSETS, generation=0))
        figures["dirty_rows_parked"] = sum("field" in one for one in parked(bench.servicebus_connection))
    creates, updates, noops, dirty = phases
    figures |= {
        "create_requests_per_10k": creates.stats["requests"],
        "update_requests_per_10k": updates.stats["requests"],
        "noop_requests_per_10k": noops.stats["requests"],
        "noop_writes_per_10k": noops.stats["writes"],
        "dirty_requests_per_10k": dirty.stats["requests"],
        "worker_peak_mb": max(phase.usage.peak_mb for phase in phases),
        "batch500_cpu_seconds": round(max(phase.batch_cpu for phase in phases), 3),
    }
    console.print(_phases(phases))
    return {name: figures[name] for name in GOALS}


def _phases(phases: Iterable[Phase]) -> Table:
    table = Table(title="By phase", title_justify="left")
    for heading in ("phase", "seconds", "batches", "CPU s per 500", "with the host", "peak MB", "requests", "by kind"):
        table.add_column(heading)
    for phase in phases:
        kinds = ", ".join(f"{kind} {number}" for kind, number in phase.stats["requests_by_kind"].items())
        table.add_row(
            phase.name, f"{phase.seconds:.1f}", str(phase.usage.batches), f"{phase.batch_cpu:.2f}",
            f"{phase.process_cpu:.2f}", f"{phase.usage.peak_mb:.0f}", str(phase.stats["requests"]), kinds,
        )  # fmt: skip
    return table


def _figures(figures: dict[str, float]) -> Table:
    table = Table(title="Figures", title_justify="left")
    for heading in ("figure", "goal", "measured", ""):
        table.add_column(heading)
    for name, value in figures.items():
        table.add_row(name, str(GOALS[name]), f"{value:g}", "" if GOALS[name].met(value) else "[red]missed[/red]")
    return table


def record(figures: dict[str, float]) -> None:
    """Rewrite the table of docs/performance.md."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    lines = [
        "| Figure | Goal | Measured | Command |",
        "|---|---|---|---|",
        *(f"| `{name}` | {GOALS[name]} | {value:g} | `make figures` |" for name, value in figures.items()),
        "",
        (
            f"Measured on {datetime.now(UTC):%Y-%m-%d} with Python {platform.python_version()} on {os.cpu_count()}"
            f" {platform.machine()} cores; the load averages at the end were {load}."
        ),
    ]
    before, mark, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not mark or not end:
        raise ValueError(f"{PAGE} lacks the marks {_BEGIN} and {_END} around its table: put them back.")
    PAGE.write_text("\n".join([before + mark, *lines, end + after]), encoding="utf-8")


def main() -> int:
    """Measure, write, print; 1 if a goal is missed and `--check` was given."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.figures", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a goal is missed")
    parser.add_argument("--record", action="store_true", help="rewrite the table of docs/performance.md, too")
    arguments = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 130)
    figures = run(console)
    OUTPUT.parent.mkdir(exist_ok=True)
    known = json.loads(OUTPUT.read_text(encoding="utf-8")) if OUTPUT.exists() else {}
    OUTPUT.write_text(json.dumps({**known, **figures}, indent=2) + "\n", encoding="utf-8")
    if arguments.record:
        record(figures)
    console.print(_figures(figures))
    console.print(f"Written to {OUTPUT.relative_to(ROOT)}")
    missed = not all(GOALS[name].met(value) for name, value in figures.items())
    return int(missed and arguments.check)


if __name__ == "__main__":
    sys.exit(main())
