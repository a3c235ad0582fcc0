"""A seed decides everything: the same seed is the same run, on any day and in any process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.loop import DeadlockError, run
from tests.simulation.world import play

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", [1, 27, 46])
def test_a_seed_replays_the_identical_run(seed: int) -> None:
    first, second = play(seed), play(seed)
    assert first.trace.lines == second.trace.lines
    assert len(first.trace.lines) > 5
    assert first.trace.digest == second.trace.digest != play(seed + 1).trace.digest


def test_another_process_with_other_hashes_replays_the_identical_run() -> None:
    def digest(hash_seed: str) -> str:
        command = [sys.executable, "-m", "tests.simulation", "--seed", "46", "--digest"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)  # noqa: S603  # our own module
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert digest("1") == digest("2") == play(46).trace.digest


def test_the_command_line_shows_the_trace_of_a_seed() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--seed", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  # our own module
    assert done.returncode == 0, done.stderr
    assert "person    cmms asset" in done.stdout
    assert done.stdout.rstrip().endswith("messages")


def test_a_loop_in_which_nothing_can_happen_any_more_says_so() -> None:
    async def forever() -> None:
        import asyncio  # noqa: PLC0415  # only here

        await asyncio.get_running_loop().create_future()

    with pytest.raises(DeadlockError, match="No timer"):
        run(forever())
