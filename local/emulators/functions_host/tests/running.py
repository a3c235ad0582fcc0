"""Starts hosts as processes of their own, as their users do, and always ends them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

APPS = Path(__file__).parent / "apps"
ROOT = Path(__file__).parents[4]
MASTER = {"x-functions-key": "the-master-key"}
_KEYS = {"LOCAL_HOST_FUNCTION_KEY": "the-function-key", "LOCAL_HOST_MASTER_KEY": "the-master-key"}


def until[T](look: Callable[[], T], what: str, seconds: float = 60.0) -> T:
    """The first true answer of `look`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := look():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds} s")


class RunningHost:
    """One host process, its log and a client for it."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log
        self.client = httpx.Client(timeout=60, trust_env=False)

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def wait_until_ready(self) -> None:
        until(lambda: self.process.poll() is not None or "\nready\n" in self.log, "the host is ready")
        assert self.process.poll() is None, self.log
        self.client.base_url = httpx.URL(self.log.partition("Listening on ")[2].splitlines()[0])

    def wait_for_log(self, text: str, count: int = 1) -> None:
        until(lambda: self.log.count(text) >= count, f"{text!r} {count} times in the log")

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def running(
    app: Path, folder: Path, settings: Mapping[str, str] | None = None, arguments: Sequence[str] = ()
) -> Iterator[RunningHost]:
    """A host that serves `app` on a free port; it keeps its log in `folder`."""
    log = folder / "host.log"
    with log.open("wb") as output:
        process = start(app, {**_KEYS, **(settings or {})}, arguments, output.fileno())
        host = RunningHost(process, log)
        try:
            with host.client:
                host.wait_until_ready()
                yield host
        finally:
            try:
                host.stop()
            finally:
                process.kill()
                process.wait()
                if process.stdin:
                    process.stdin.close()


def start(app: Path, settings: Mapping[str, str], arguments: Sequence[str], output: int) -> subprocess.Popen[bytes]:
    """Start a host; resource warnings are written where they happen."""
    command = [
        sys.executable,
        "-W",
        "default::ResourceWarning",
        "-m",
        "local.emulators.functions_host",
        "--app",
        str(app),
        "--port",
        "0",
    ]
    return subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
        [*command, *arguments],
        cwd=ROOT,
        env={**os.environ, **settings},
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
    )
