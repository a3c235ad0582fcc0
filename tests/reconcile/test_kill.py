"""A sweep that is killed by SIGKILL, at any page or between any two of its effects, and begun again."""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from benchmarks.reconcile.measure import fill, server
from benchmarks.reconcile.world import drifted
from shared.adapters.ledger import SqliteLedger
from tests.reconcile.killed import MOST_REPAIRS

ROOT = Path(__file__).resolve().parents[2]
COUNT = 10_000
MEMORY = "reconcile/checkpoint"
# One for each 500 records of the CMMS, one for each 5,000 rows of Dynamics.
PAGES = COUNT // 500 + COUNT // 5000

type Run = Callable[[str, int], Any]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A ledger that knows ten thousand assets, ten of which drifted."""
    path = tmp_path / "ledger.sqlite3"
    fill(path, COUNT)
    return path


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where SQLite puts its temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def run(tmp_path: Path, ledger: Path, temporary: Path) -> Iterator[Run]:
    """Reconcile in a process of its own until the death that is named; answers what it found, None if it died."""
    with server(COUNT) as url:
        command = [sys.executable, "-m", "tests.reconcile.killed", str(ledger), url, str(tmp_path / "bus")]
        environment = {**os.environ, "SQLITE_TMPDIR": str(temporary), "TMPDIR": str(temporary)}
        with subprocess.Popen(  # noqa: S603  # our own module
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            to, answers = child.stdin, child.stdout

            def one(what: str = "nothing", number: int = 0) -> Any:
                to.write(f"{what} {number}\n")
                to.flush()
                return json.loads(answers.readline())

            yield one


def memory(ledger: Path) -> str | None:
    store = SqliteLedger(ledger)
    try:
        return asyncio.run(store.get_state([MEMORY])).get(MEMORY)
    finally:
        store.close()


def test_a_killed_sweep_is_begun_again_and_nothing_is_missed_or_left_behind(
    run: Run, ledger: Path, temporary: Path, tmp_path: Path
) -> None:
    pages = sorted(Random(5).sample(range(1, PAGES + 1), 3))  # noqa: S311  # repeatable, not secret
    deaths = [*(("request", page) for page in pages), ("send", 1), ("sent", 1), ("state", 1), ("state", 2)]
    for what, number in deaths:
        assert run(what, number) is None, "it was killed"
        assert memory(ledger) is None, f"nothing advanced before {what} {number}"
        assert list(temporary.iterdir()) == []
    expected = {key: kind.value for key, kind in drifted(COUNT)}
    repairable = {key for key, kind in drifted(COUNT) if kind.repairable}
    full = run("nothing", 0)
    assert (full["kind"], full["drift"]) == ("full", expected)
    assert (full["repairs"], full["pending"]) == (MOST_REPAIRS, len(repairable) - MOST_REPAIRS)
    advanced = memory(ledger)
    assert advanced is not None

    assert run("sent", 1) is None
    assert memory(ledger) == advanced, "nothing advanced that was not remembered"
    rest = run("nothing", 0)
    assert (rest["kind"], rest["repairs"], rest["pending"]) == ("incremental", len(repairable) - MOST_REPAIRS, 0)
    assert run("nothing", 0)["repairs"] == 0

    sent = [line.split() for line in (tmp_path / "bus").read_text().splitlines()]
    assert {key for _, _, key in sent} == repairable
    assert max(Counter((pid, key) for pid, _, key in sent).values()) == 1, "each run sends a repair once"
    # The runs that died after their send, before they remembered it: after "sent", twice at "state", and then once.
    assert len({pid for pid, _, _ in sent}) == 6
    assert list(temporary.iterdir()) == []
