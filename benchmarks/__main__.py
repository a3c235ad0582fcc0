"""`python -m benchmarks`: measure the product beside its peers, and write docs/benchmarks.md from all runs so far."""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Sequence

from rich.console import Console

from benchmarks import page
from benchmarks.catalogue import SCENARIOS
from benchmarks.runs import Runs
from benchmarks.scenario import SIZES, Scenario, Size
from local.run import ROOT


def measure(scenario: Scenario, size: Size, most: int, console: Console) -> bool:
    """Make the runs that are missing, at most so many of each variant in turn; gives whether all of them went well."""
    runs, well = Runs(scenario, size), True
    for number in range(min(most, scenario.repeats(size))):
        for variant in scenario.variants(size):
            if len(runs.of(variant)) > number:
                continue
            load, started = os.getloadavg()[0], time.monotonic()
            try:
                figures = scenario.measure(size, variant)
            except Exception:  # noqa: BLE001  # the other runs go on; the run is made again next time
                console.print(f"{scenario.name}: {variant} failed\n{traceback.format_exc()}", style="red")
                well = False
                continue
            runs.add(variant, figures, load)
            console.print(f"{scenario.name}: {variant}, run {number + 1}: {time.monotonic() - started:.1f} s")
    return well


def chosen(names: Sequence[str]) -> list[Scenario]:
    """The named scenarios, or all.

    Raises:
        SystemExit: There is no scenario of a name; says which there are.
    """
    known = {scenario.name: scenario for scenario in SCENARIOS}
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"There is no scenario {unknown[0]!r}. There are: {', '.join(known)}.")
    return [known[name] for name in names] or list(SCENARIOS)


def main() -> int:
    """Measure what was asked for; 1 if a run failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--scale", choices=SIZES, default="full", help="how much is measured")
    parser.add_argument("--only", default="", help="scenarios, separated by commas; all where none is named")
    parser.add_argument("--again", action="store_true", help="forget the runs that there are")
    parser.add_argument("--runs", type=int, default=100, help="at most so many runs of each variant")
    parser.add_argument("--page-only", action="store_true", help="measure nothing, write the document")
    arguments = parser.parse_args()
    size, console = SIZES[arguments.scale], Console(highlight=False)
    scenarios = chosen([name for name in arguments.only.split(",") if name])
    well = True
    for scenario in scenarios if not arguments.page_only else ():
        if arguments.again:
            Runs(scenario, size).forget(scenario.variants(size))
        well = measure(scenario, size, arguments.runs, console) and well
    console.print(f"Written to {page.write(SCENARIOS, size).relative_to(ROOT)}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
