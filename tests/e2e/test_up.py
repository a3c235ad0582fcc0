"""`make up` as a process: it says what to do, and leaves nothing behind however it ends."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.run import ROOT

_PATIENCE = 180.0  # seconds; on a quiet machine the stack is up in ten
_LEFT_BEHIND = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")


@contextmanager
def running_up(log: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "local.up", "--free-ports", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)  # noqa: S603 - our own
    try:
        deadline = time.monotonic() + _PATIENCE
        while "Ctrl-C stops everything" not in log.read_text(encoding="utf-8"):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.1)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def children_of(folder: str) -> list[str]:
    """The processes whose command line or environment names this run."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if folder.encode() in (path / "cmdline").read_bytes() + (path / "environ").read_bytes():
                found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it ended while we looked
    return found


def run_of(log: Path) -> str:
    """The name of the run's folder."""
    found = re.search(r"\.local/(run-\S+)", log.read_text(encoding="utf-8"))
    assert found
    return found[1]


def ends_with_everything(process: subprocess.Popen[bytes], run: str, number: signal.Signals) -> None:
    """End the stack, and wait until no process of the run is left."""
    assert len(children_of(run)) >= 4
    process.send_signal(number)
    process.wait(60)
    deadline = time.monotonic() + 20
    while left := children_of(run):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


@_LEFT_BEHIND
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_running_however_make_up_ends(tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "up.log"
    with running_up(log) as process:
        ends_with_everything(process, run_of(log), number)
    if number != signal.SIGKILL:
        assert process.returncode == 0
        assert "nothing is left running" in log.read_text(encoding="utf-8")


def pasted(text: str) -> str:
    """What a person sees who pastes the text into a shell."""
    shell = ["/bin/bash", "-c", text]
    done = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)  # noqa: S603 - ours
    return done.stdout + done.stderr


def until(text: str, log: Path, count: int = 1) -> None:
    deadline = time.monotonic() + _PATIENCE
    while log.read_text(encoding="utf-8").count(text) < count:
        assert time.monotonic() < deadline, log.read_text(encoding="utf-8")[-3000:]
        time.sleep(0.1)


@_LEFT_BEHIND
def test_the_examples_paste_one_after_the_other_and_killed_parts_come_back(tmp_path: Path) -> None:
    log = tmp_path / "up.log"
    with running_up(log, "--hosts", "2") as process:
        text, run = log.read_text(encoding="utf-8"), run_of(log)
        examples = text[text.index("# Create an asset") : text.index("# Look at everything")]

        said = pasted(examples)

        for proof in ('"codigo_interno": "0001"', '"msdyn_assetnumber":"0001"', "999.90", '"status": "accepted"'):
            assert proof in said
        assert "reason: invalid_message" in said

        # The broker too: what is parked must be there when it has come back.
        for part in ("servicebus", "functions-2"):
            assert f"{part} was killed" in pasted(f"{sys.executable} -m local.faults --run {run} kill {part}")
            until(f"{part} ended by itself (killed by SIGKILL) and was started again", log)
        until("Listening on", log, 3)
        assert "reason: invalid_message" in pasted(examples[examples.rindex(".venv") :])
        ends_with_everything(process, run, signal.SIGINT)
    assert process.returncode == 0
