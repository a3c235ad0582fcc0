"""Dataverse goes away for a minute in the middle of the work."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Final

from benchmarks.clients.job import Kind
from benchmarks.conditions import USUAL
from benchmarks.contestants import LABELS, PEERS, PRODUCT, contestants, job
from benchmarks.load import QUEUE, TABLE, assets, landed, send
from benchmarks.scenario import Column, Figures, Plot, Scenario, Size, Unit
from benchmarks.stack import Bench

_MODES: Final = {"503": "answers 503", "refused": "refuses connections"}
_ROUNDS: Final = 4
_POLL: Final = 0.2
_PATIENCE: Final = 120.0


def _variants(_size: Size) -> Sequence[str]:
    return [f"{name}-{mode}" for mode, name in product(_MODES, contestants("sdk", "webapi"))]


@dataclass
class _Watch:
    """Makes the outage once the first rows are there, then notes when the last one came."""

    bench: Bench
    mode: str
    seconds: float
    ended_at: float = 0.0
    last_row_at: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        until = time.monotonic() + _PATIENCE
        while self._written() == 0 and time.monotonic() < until:
            time.sleep(_POLL)
        if self.mode == "refused":
            self.bench.stop_dataverse()
            time.sleep(self.seconds)
            self.bench.start_dataverse()
        else:
            self.bench.fault({"effect": "status", "status": 503, "times": None})
            time.sleep(self.seconds)
            self.bench.clear_faults()
        self.bench.reset_stats()
        self.ended_at, seen = time.monotonic(), 0
        self.last_row_at = self.ended_at
        while not self.done.wait(_POLL):
            seen = self._look(seen)
        self._look(seen)

    def _look(self, seen: int) -> int:
        if (written := self._written()) > seen:
            self.last_row_at = time.monotonic()
        return written

    def _written(self) -> int:
        return int(self.bench.stats()["rows_written"])


def measure(size: Size, variant: str) -> Figures:
    """Create assets; when the first ones are there, Dataverse is away for a while."""
    name, _, mode = variant.rpartition("-")
    some = list(assets(size.records, generation=0))
    with Bench(replace(USUAL, durable=True)) as bench:
        watch = _Watch(bench, mode, size.outage_seconds)
        watcher = threading.Thread(target=watch.run)
        watcher.start()
        said = _write(bench, name, some, watch, watcher)
        right = landed(bench.rows(TABLE), some)
    return {
        "records": len(some),
        "landed": right,
        "unsent": len(some) - said,
        "falsely": max(0, said - right) + max(0, right - said),
        "last_row": max(0.0, watch.last_row_at - watch.ended_at),
    }


def _write(bench: Bench, name: str, some: Sequence[dict[str, object]], watch: _Watch, watcher: threading.Thread) -> int:
    """Let the contestant work; gives how many rows it says are written. The product is done when nothing waits."""
    try:
        if name == PRODUCT:
            send(bench.servicebus_connection, some)
            with bench.worker() as worker:
                bench.wait_drained(QUEUE, worker)
            return len(some)
        peer = PEERS[name]
        # In four rounds of its tasks, so that the outage meets some chunks done, some under way and some to come.
        work = job(bench, some, Kind.CREATE)
        chunk = max(1, len(some) // (work.tasks * _ROUNDS))
        written = peer.finish(peer.start(replace(work, chunk=chunk))).written
        while not watch.ended_at:
            time.sleep(_POLL)
        return written
    finally:
        watch.done.set()
        watcher.join()


OUTAGE: Final = Scenario(
    "outage",
    "Dataverse is away for a minute",
    "Creates; when the first rows are there, Dataverse answers every request with 503, or refuses connections, and"
    " comes back after a minute (20 s with SCALE=small). The peers try each chunk five times, up to 15 s later. *Not"
    " written, as the client says* are rows that somebody has to send again; *told wrongly* are rows said to be written"
    " that are not there, or the other way round. The last column is when the last row came after the outage's end; 0"
    " where none came.",
    _variants,
    measure,
    (
        Column("records", "rows to write"),
        Column("landed", "rows right in the end"),
        Column("unsent", "not written, as the client says"),
        Column("falsely", "told wrongly"),
        Column("last_row", "last row after the end", Unit.SECONDS),
    ),
    plots=(Plot("landed", "Rows that are right after Dataverse was away for a minute", "rows; longer is better"),),
    slow=True,
    labels={
        f"{name}-{mode}": f"{LABELS[name].split(',')[0]}; {what}" for name in LABELS for mode, what in _MODES.items()
    },
)
