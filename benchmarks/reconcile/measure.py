"""`python -m benchmarks.reconcile.measure`: reconcile a million assets and add the figures to build/figures.json.

The floor is what downloading the same pages from the same server takes with the same HTTP client, nothing parsed, both
sides at the same time; it is measured before and after the sweep, in the same run. The server is a process of its own
and makes its pages as they are asked for, by far faster than Dataverse or Django do.
"""

import argparse
import asyncio
import json
import os
import re
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Final

import httpx

from benchmarks.reconcile.world import drifted, id_of, is_in_ledger, key_of, record_of, values_of
from shared.adapters.clock import SystemClock
from shared.adapters.cmms.client import CmmsGateway
from shared.adapters.dataverse import DataverseGateway
from shared.adapters.dataverse.client import DataverseClient
from shared.adapters.ledger import SqliteLedger
from shared.domain.row_hash import row_hash
from shared.flows.ports.engine import Outgoing
from shared.flows.reconcile import Policy, Reconciler, Report
from shared.flows.routing.route import Router
from shared.settings import DOCUMENT_MAPPING
from shared.wiring import load_mapping

ROOT: Final = Path(__file__).resolve().parents[2]
OUTPUT: Final = ROOT / "build" / "figures.json"
CHANGES: Final = 100
_NEXT: Final = re.compile(rb'"@odata\.nextLink":"([^"]+)"')
_CURSOR: Final = re.compile(rb'"siguiente":"([^"]+)"')
_DECIMAL: Final = re.compile(r"[0-9]+\.[0-9]+")
_KEY: Final = "codigo_interno"
_FIELDS: Final = ("nombre", "numero_de_serie", "valor_adquisicion", "valor_libros", "fecha_adquisicion")


class Nowhere:
    """A bus that takes messages and forgets them."""

    async def send(self, queue: str, messages: Sequence[Outgoing]) -> None:
        """Take them."""


@contextmanager
def server(count: int) -> Iterator[str]:
    """Serve a world from a process of its own; gives its address."""
    command = [sys.executable, "-m", "benchmarks.reconcile.server", str(count)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)  # noqa: S603  # our own module
    try:
        port = child.stdout.readline().strip() if child.stdout is not None else ""
        yield f"http://127.0.0.1:{port}"
    finally:
        child.kill()
        child.communicate()


def fill(path: Path, count: int) -> None:
    """Make a ledger in which every record is settled as the world says."""
    SqliteLedger(path).close()
    db = sqlite3.connect(path)
    db.executescript("PRAGMA synchronous=OFF;" + "".join(f"DROP INDEX {name};" for name in _indexes(db)))
    statement = (
        "INSERT INTO link (entity, etag, deleted, cmms_id, row_id, key, hash_cmms, hash_dynamics, body)"
        " VALUES ('asset', 1, 0, ?, ?, ?, ?, ?, ?)"
    )
    rules = load_mapping(DOCUMENT_MAPPING).entities["asset"].rules
    prints = {name: rule.fingerprint for name, rule in rules.items()}
    db.executemany(statement, (_link(number, prints) for number in range(count) if is_in_ledger(number)))
    db.commit()
    db.close()
    # Opening it makes the indexes again.
    SqliteLedger(path).close()


def _indexes(db: sqlite3.Connection) -> list[str]:
    found = db.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'link'").fetchall()
    return [name for (name,) in found if not name.startswith("sqlite_")]


def _link(number: int, prints: Mapping[str, str]) -> tuple[str, str, str, str, str, str]:
    key, values = key_of(number), [_normal(value) for value in values_of(number)]
    held = dict(zip((_KEY, *_FIELDS), (key, *values), strict=True))
    body = {
        "cmms_id": record_of(number),
        "row_id": id_of(number),
        "key": key,
        "bases": {name: {"cmms": value, "dynamics": value, "rule": prints[name]} for name, value in held.items()},
        "last_sync": "2026-01-01T00:00:00Z",
    }
    hashed = row_hash(held, prints)
    return record_of(number), id_of(number), key, hashed, hashed, json.dumps(body)


def _normal(text: str | None) -> str | None:
    return text.rstrip("0").rstrip(".") if text is not None and _DECIMAL.fullmatch(text) else text


async def floor(url: str) -> float:
    """Seconds to download both sides' pages."""
    async with httpx.AsyncClient(timeout=120, trust_env=False) as http:

        async def dynamics() -> None:
            link: str | None = f"{url}/api/data/v9.2/msdyn_customerassets"
            while link:
                body = (await http.get(link, headers={"Prefer": "odata.track-changes,odata.maxpagesize=5000"})).content
                found = _NEXT.search(body, max(0, len(body) - 400))
                link = found[1].decode() if found else None

        async def cmms() -> None:
            cursor: str | None = ""
            while cursor is not None:
                query = {"limite": "5000"} | ({"cursor": cursor} if cursor else {})
                body = (await http.get(f"{url}/integracion/activos/", params=query)).content
                found = _CURSOR.search(body, max(0, len(body) - 100))
                cursor = found[1].decode() if found else None

        started = time.monotonic()
        await asyncio.gather(dynamics(), cmms())
        return time.monotonic() - started


async def reconcile(url: str, ledger_path: Path) -> tuple[Report, Report, int, float]:
    """A full pass, then an incremental one: both reports, the latter's requests to Dataverse and its seconds."""
    clock = SystemClock()
    ledger = SqliteLedger(ledger_path)
    client = DataverseClient(f"{url}/api/data/v9.2", httpx.BasicAuth("benchmark", ""), clock)
    dynamics, cmms = DataverseGateway(client, clock), CmmsGateway(url, "benchmark", clock)
    router = Router(Nowhere(), clock, Random(1))  # noqa: S311  # jitter
    policy = Policy(timedelta(), full_every=timedelta(hours=24))
    reconciler = Reconciler(
        load_mapping(DOCUMENT_MAPPING), ledger, dynamics, cmms, router, clock=clock, policy=policy, state=ledger
    )
    try:
        full = await reconciler.run()
        before, started = dynamics.requests, time.monotonic()
        incremental = await reconciler.run()
        return full, incremental, dynamics.requests - before, time.monotonic() - started
    finally:
        await dynamics.aclose()
        await cmms.aclose()
        ledger.close()


def measure(count: int) -> dict[str, float]:
    """The figures, by name."""
    with tempfile.TemporaryDirectory() as folder, server(count) as url:
        path = Path(folder) / "ledger.sqlite3"
        # In a process of its own: what it takes is not the sweep's.
        program = f"from benchmarks.reconcile.measure import *; fill(Path({str(path)!r}), {count})"
        subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)  # noqa: S603  # our own module
        before = asyncio.run(floor(url))
        full, incremental, requests, seconds = asyncio.run(reconcile(url, path))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        after = asyncio.run(floor(url))
    if incremental.entities[0].compared != CHANGES:
        raise RuntimeError(f"The incremental pass compared {incremental.entities[0].compared} records, not {CHANGES}.")
    expected = dict(drifted(count))
    found = {finding.key: finding.kind for finding in full.findings}
    print(  # noqa: T201  # a command line
        f"{count:,} assets: sweep {full.seconds:.1f} s, floor {before:.1f} s before and {after:.1f} s after;"
        f" load averages {', '.join(f'{value:.1f}' for value in os.getloadavg())}"
    )
    return {
        "sweep_1m_peak_mb": round(peak, 1),
        "sweep_1m_time_over_floor": round(full.seconds / ((before + after) / 2), 2),
        "sweep_1m_missed": sum(found.get(key) is not kind for key, kind in expected.items()),
        "sweep_1m_false": len(found.keys() - expected.keys()),
        "incremental_requests": requests,
        "incremental_seconds": round(seconds, 2),
    }


def add(figures: Mapping[str, float]) -> None:
    """Put the figures beside those that build/figures.json has."""
    known = json.loads(OUTPUT.read_text(encoding="utf-8")) if OUTPUT.exists() else {}
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps({**known, **figures}, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reconcile.measure")
    parser.add_argument("--count", type=int, default=1_000_000, help="assets on each side")
    count = parser.parse_args().count
    figures = measure(count)
    print(json.dumps(figures, indent=2))  # noqa: T201  # a command line
    if count == parser.get_default("count"):
        add(figures)


if __name__ == "__main__":
    main()
