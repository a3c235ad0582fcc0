"""What grows with the work, and what must not: records, links in the ledger, records to reconcile, the start."""

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.clients.job import Kind
from benchmarks.conditions import FREE, USUAL
from benchmarks.contestants import PRODUCT, write
from benchmarks.load import QUEUE, assets, send
from benchmarks.programs import python
from benchmarks.scenario import SIZES, Column, Figures, Plot, Scenario, Size, Unit
from benchmarks.stack import Bench
from local.run import RUNS

_THOUSAND: Final = 1_000
_IMPORT: Final = "import time; start = time.perf_counter(); import function_app; print(time.perf_counter() - start)"


def measure_growth(_size: Size, variant: str) -> Figures:
    """Create so many assets."""
    records = int(variant)
    with Bench(USUAL) as bench:
        done = write(bench, PRODUCT, list(assets(records, generation=0)), Kind.CREATE)
    share = _THOUSAND / records
    return {
        "records": records,
        "landed": done["landed"],
        "requests_each": done["requests"] * share,
        "seconds_each": done["seconds"] * share,
        "cpu_each": done["cpu"] * share,
    }


def measure_links(size: Size, variant: str) -> Figures:
    """Create assets beside a ledger that holds so many links already."""
    links = int(variant)
    with Bench(FREE) as bench:
        path = bench.folder / "ledger.sqlite3"
        if links:
            shutil.copyfile(ledger_of(links), path)
        megabytes = path.stat().st_size / 2**20 if links else 0
        some = list(assets(size.records, generation=0))
        done = write(bench, PRODUCT, some, Kind.CREATE)
        path.unlink()
    return {**done, "links": links, "megabytes": megabytes}


def ledger_of(links: int) -> Path:
    """A ledger with so many settled links; made once, since a million take a while."""
    path = RUNS / f"links-{links}.sqlite3"
    if not path.exists():
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        python("-c", f"from benchmarks.reconcile.measure import *; fill(Path({str(new)!r}), {links})")
        new.replace(path)
    return path


def measure_sweep(size: Size, _variant: str) -> Figures:
    """Reconcile so many assets, with 0.1% drift of every class, beside the floor."""
    said = python("-m", "benchmarks.reconcile.measure", "--count", str(size.swept))
    figures: dict[str, float] = json.loads(said[said.index("{") :])
    return {**figures, "swept": size.swept}


def measure_start(_size: Size, _variant: str) -> Figures:
    """Start a host while one message waits, until its row is there."""
    imported = float(python("-c", _IMPORT))
    with Bench(FREE) as bench:
        send(bench.servicebus_connection, assets(1, generation=0))
        started = time.monotonic()
        with bench.worker() as worker:
            ready = time.monotonic() - started
            bench.wait_drained(QUEUE, worker)
            settled = time.monotonic() - started
            usage = worker.usage()
    return {"imported": imported, "ready": ready, "settled": settled, "cpu": usage.cpu_seconds, "peak": usage.peak_mb}


def _growth_variants(size: Size) -> Sequence[str]:
    return [str(records) for records in size.growth]


def _link_variants(size: Size) -> Sequence[str]:
    return [str(links) for links in size.links]


def _only(_size: Size) -> Sequence[str]:
    return [PRODUCT]


GROWTH: Final = Scenario(
    "growth",
    "Growth with the records",
    "Creates of three sizes; every figure is for 1,000 records, and should not grow.",
    _growth_variants,
    measure_growth,
    (
        Column("records", "records"),
        Column("landed", "rows right"),
        Column("requests_each", "requests for 1,000"),
        Column("seconds_each", "time for 1,000", Unit.SECONDS),
        Column("cpu_each", "CPU for 1,000", Unit.SECONDS),
    ),
    plots=(
        Plot(
            "requests_each",
            "Requests to Dataverse for 1,000 new records, by the size of the load",
            "HTTP requests for 1,000 records; should not grow",
        ),
    ),
    slow=True,
    labels={str(records): f"{records:,} records" for size in SIZES.values() for records in size.growth},
)

LINKS: Final = Scenario(
    "links",
    "Growth with the ledger",
    "Creates beside a ledger in SQLite that holds other records' links already, without latency. Only the file may"
    " grow.",
    _link_variants,
    measure_links,
    (
        Column("links", "links before"),
        Column("megabytes", "ledger", Unit.MEGABYTES),
        Column("landed", "rows right"),
        Column("seconds", "time", Unit.SECONDS),
        Column("cpu", "CPU", Unit.SECONDS),
        Column("requests", "requests"),
    ),
    plots=(
        Plot(
            "cpu",
            "Processor time of the same creates, by links in the ledger",
            "seconds of the worker's CPU; should not grow",
        ),
    ),
    slow=True,
    labels={str(links): f"{links:,} links before" for size in SIZES.values() for links in size.links},
)

SWEEP: Final = Scenario(
    "sweep",
    "Reconciliation over its floor",
    "A full pass over assets of which 0.1% drifted, in every class, beside the floor: downloading the same pages from"
    " the same server with the same HTTP client, both sides at once, nothing parsed."
    " [performance.md](performance.md) says more.",
    _only,
    measure_sweep,
    (
        Column("swept", "assets on each side"),
        Column("sweep_1m_time_over_floor", "time over the floor", Unit.TIMES),
        Column("sweep_1m_peak_mb", "peak memory", Unit.MEGABYTES),
        Column("sweep_1m_missed", "drift missed"),
        Column("sweep_1m_false", "false alarms"),
        Column("incremental_requests", "requests of an incremental pass"),
        Column("incremental_seconds", "its time", Unit.SECONDS),
    ),
    slow=True,
    labels={PRODUCT: "this product"},
)

START: Final = Scenario(
    "start",
    "Cold start",
    "One message waits; a host starts. The import is `function_app` in a process of its own; ready is when the host"
    " listens; the row is when the message is settled. The local host is the emulator, and starts with the worker"
    " in one process.",
    _only,
    measure_start,
    (
        Column("imported", "import", Unit.SECONDS),
        Column("ready", "ready", Unit.SECONDS),
        Column("settled", "first row settled", Unit.SECONDS),
        Column("cpu", "CPU until then", Unit.SECONDS),
        Column("peak", "peak memory", Unit.MEGABYTES),
    ),
    labels={PRODUCT: "this product"},
)
