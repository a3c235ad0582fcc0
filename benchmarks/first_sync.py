"""`python -m benchmarks.first_sync`: a first sync of 100,000 assets on each side, on the local stack without latency.

70% of the keys are on both sides, and 5% of those differ in a field. The plan is timed and its memory measured as a
process of its own, as an operator starts it. With `--run` the first sync is carried out as well, and its process killed
some times on the way: docs/performance.md says what the figures mean.
"""

import argparse
import json
import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.reconcile.measure import add
from local.playing import UNANNOUNCED
from local.ports import Ports
from local.run import ROOT
from local.stack import Stack

MATCHED: Final = 0.7
DIFFERENT_ONE_IN: Final = 20
KILLS: Final = 3
_AT_A_TIME: Final = 1000
_NEVER: Final = "0 0 0 1 1 *"
_SECONDS_OF_A_RUN: Final = 4 * 3600
_PEAK: Final = re.compile(r"VmHWM:\s+(\d+) kB")


def main() -> None:
    """Measure, print, and add to build/figures.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_sync")
    parser.add_argument("--count", type=int, default=100_000, help="assets on each side")
    parser.add_argument("--run", action="store_true", help="also carry the first sync out, with kills on the way")
    options = parser.parse_args()
    with Stack(Ports.free(), settle_seconds=0, settings={"RECONCILE_SCHEDULE": _NEVER}) as stack:
        fill(stack, options.count)
        figures = plan(stack, options.count)
        if options.run:
            figures |= run(stack, options.count)
    print(json.dumps(figures, indent=2))  # noqa: T201  # a command line
    if options.count == parser.get_default("count"):
        add(figures)


def fill(stack: Stack, count: int) -> None:
    """Make `count` assets on each side, of which no message tells."""
    ours, theirs = _keys(count)
    with closing(sqlite3.connect(stack.folder / "cmms.sqlite3", timeout=60)) as database, database:
        database.executemany(
            "INSERT INTO inventario_activo (codigo_interno, nombre, serie, costo, valor_libros, fecha_compra, estado,"
            " actualizado_en) VALUES (?, ?, ?, ?, ?, ?, 'OPERATIVO', '2026-01-01 00:00:00')",
            (_record(number) for number in ours),
        )
    headers = {"Authorization": f"Bearer {stack.person_token()}", **UNANNOUNCED}
    action = f"{stack.web_api_url}/msdyn_customerassets/Microsoft.Dynamics.CRM.CreateMultiple"
    with httpx.Client(timeout=300, trust_env=False, headers=headers) as client:
        for start in range(0, count, _AT_A_TIME):
            targets = [_row(number) for number in theirs[start : start + _AT_A_TIME]]
            client.post(action, json={"Targets": targets}).raise_for_status()


def _keys(count: int) -> tuple[Sequence[int], Sequence[int]]:
    """The numbers of the assets in the CMMS, and in Dynamics: `MATCHED` of each are on both sides."""
    return range(count), range(count - int(count * MATCHED), 2 * count - int(count * MATCHED))


def _record(number: int) -> tuple[str, str, str, str, str, str]:
    return (
        f"A-{number:07}", f"Bomba de agua {number}", f"SN-{number:09}", f"{1000 + number % 9000}.25",
        f"{number % 7000}.50", f"20{number % 24 + 1:02}-{number % 12 + 1:02}-{number % 28 + 1:02}",
    )  # fmt: skip


def _row(number: int) -> dict[str, object]:
    key, name, serial, cost, book, bought = _record(number)
    return {
        "@odata.type": "Microsoft.Dynamics.CRM.msdyn_customerasset",
        "msdyn_assetnumber": key,
        "msdyn_name": f"{name} bis" if number % DIFFERENT_ONE_IN == 0 else name,
        "msdyn_serialid": serial,
        "msdyn_acquisitioncost": float(cost),
        "msdyn_currentbookvalue": float(book),
        "msdyn_acquisitiondate": bought,
    }


def plan(stack: Stack, count: int) -> dict[str, float]:
    """Time a plan and its memory; insist that it counts what was made."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    child = _ops(stack, "plan", "--entity", "asset", "--json", output=stack.folder / "plan.json")
    peak = 0
    while child.poll() is None:
        peak = max(peak, _peak(child.pid))
        time.sleep(0.1)
    seconds = time.monotonic() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads((stack.folder / "plan.json").read_text(encoding="utf-8"))["entities"][0]
    both = int(count * MATCHED)
    wanted = {"only_in_cmms": count - both, "only_in_dynamics": count - both}
    differs = sum(number % DIFFERENT_ONE_IN == 0 for number in range(count - both, count))
    wanted |= {"different": differs, "equal": both - differs}
    counted = {kind: number for kind, number in found["kinds"].items() if number}
    if counted != wanted:
        raise RuntimeError(f"The plan counts {counted}, and {wanted} were made.")
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    print(  # noqa: T201  # a command line
        f"plan of {count:,} and {count:,} assets: {seconds:.1f} s, of which {cpu:.1f} s CPU; load averages {load}"
    )
    return {"first_sync_plan_seconds": round(seconds, 1), "first_sync_plan_peak_mb": round(peak / 1024, 1)}


def run(stack: Stack, count: int) -> dict[str, float]:
    """Carry the plan out, killing it `KILLS` times; count what is there once, twice, or not at all."""
    keys = 2 * count - int(count * MATCHED)
    started = time.monotonic()
    log = stack.folder / "first-sync.log"
    for number in range(KILLS):
        child = _ops(stack, "run", "--yes", "--rate", "1000", output=log)
        goal = (number + 1) * keys // (KILLS + 2)
        while _links(stack) < goal:
            if child.poll() is not None:
                raise RuntimeError(f"The run ended by itself: {log.read_text(encoding='utf-8')}")
            time.sleep(0.2)
        child.send_signal(signal.SIGKILL)
        child.wait()
    child = _ops(stack, "run", "--yes", "--rate", "1000", output=log)
    child.wait(_SECONDS_OF_A_RUN)
    seconds = time.monotonic() - started
    print(log.read_text(encoding="utf-8"))  # noqa: T201  # a command line
    sides = [Counter(_in_dynamics(stack)), Counter(_in_cmms(stack))]
    return {
        "first_sync_run_seconds": round(seconds),
        "first_sync_doubled": sum(times - 1 for side in sides for times in side.values()),
        "first_sync_lost": sum(keys - len(side) for side in sides) + keys - _links(stack),
    }


def _ops(stack: Stack, *arguments: str, output: Path) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, **stack.environment(), **stack.operator_settings(), "PYTHONPATH": str(ROOT)}
    with output.open("wb") as file:
        return subprocess.Popen(  # noqa: S603  # our own command line
            [sys.executable, "-m", "ops", "first-sync", *arguments], env=environment, cwd=stack.folder, stdout=file
        )


def _peak(pid: int) -> int:
    """The highest resident memory of a process so far, in KiB; 0 once it has ended."""
    try:
        found = _PEAK.search(Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    except OSError:
        return 0
    return int(found[1]) if found else 0


def _links(stack: Stack) -> int:
    """Pairs that the ledger knows."""
    if not stack.ledger_path.exists():
        return 0
    with closing(sqlite3.connect(f"file:{stack.ledger_path}?mode=ro", uri=True, timeout=60)) as database:
        (count,) = database.execute(
            "SELECT count(*) FROM link WHERE cmms_id IS NOT NULL AND row_id IS NOT NULL AND hash_cmms != ''"
        ).fetchone()
    return int(count)


def _in_cmms(stack: Stack) -> Iterator[str]:
    with closing(sqlite3.connect(stack.folder / "cmms.sqlite3", timeout=60)) as database:
        yield from (key for (key,) in database.execute("SELECT codigo_interno FROM inventario_activo"))


def _in_dynamics(stack: Stack) -> Iterator[str]:
    url: str | None = f"{stack.web_api_url}/msdyn_customerassets?$select=msdyn_assetnumber"
    headers = {"Authorization": f"Bearer {stack.person_token()}"}
    with httpx.Client(timeout=300, trust_env=False, headers=headers) as client:
        while url is not None:
            answer: dict[str, Any] = client.get(url).raise_for_status().json()
            yield from (row["msdyn_assetnumber"] for row in answer["value"])
            url = answer.get("@odata.nextLink")


if __name__ == "__main__":
    main()
