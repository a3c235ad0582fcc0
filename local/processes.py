"""A child process of the stack: started with a pipe as its life line, known to be ready, stopped cleanly."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

STOP_SECONDS: Final = 10.0


class StackError(Exception):
    """The stack cannot run; the message says why and what to do."""


class Process:
    """One child. Its output goes to a log file, and to `echo` where given.

    The child holds the read end of a pipe as its standard input: when this process ends in any way, `kill -9`
    included, the pipe closes and the child stops by itself.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        ready: str,
        echo: IO[str] | None = None,
    ) -> None:
        """Start `python -m ARGUMENTS`; `ready` is a pattern for the output line that tells it is up."""
        self.name = name
        self.log = log
        self._ready = re.compile(ready)
        self._is_ready = threading.Event()
        self._echo = echo
        self._child = subprocess.Popen(  # noqa: S603  # our own modules
            [sys.executable, "-m", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            text=True,
            encoding="utf-8",
            errors="replace",
            # Ctrl-C reaches the whole foreground group: the children stop in our order, not in the terminal's.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def running(self) -> bool:
        """Whether the child is alive."""
        return self._child.poll() is None

    @property
    def pid(self) -> int:
        """The child's number."""
        return self._child.pid

    @property
    def ending(self) -> str:
        """How the child ended, such as "killed by SIGKILL" or "exit code 1"."""
        code = self._child.poll()
        return f"killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"

    def wait_ready(self, seconds: float) -> None:
        """Wait for the ready line.

        Raises:
            StackError: The child ended, or said nothing in time; shows the end of its log.
        """
        until = time.monotonic() + seconds
        while not self._is_ready.wait(0.05):
            if not self.running or time.monotonic() > until:
                problem = "ended" if not self.running else f"was not ready after {seconds:.0f} s"
                raise StackError(f"{self.name} {problem}. The end of {self.log}:\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        """The end of the child's log."""
        self._reader.join(0.5)
        return "\n".join(self.log.read_text(encoding="utf-8").splitlines()[-lines:]) or "(it printed nothing)"

    def request_stop(self) -> None:
        """Close the life line; the child begins to stop."""
        if self._child.stdin is not None and not self._child.stdin.closed:
            self._child.stdin.close()

    def stop(self, patience: float = STOP_SECONDS) -> None:
        """Wait for the child's end; insist where it takes longer than `patience` seconds."""
        self.request_stop()
        for insist in (self._child.terminate, self._child.kill):
            try:
                self._child.wait(patience)
                break
            except subprocess.TimeoutExpired:
                insist()
        self._child.wait()
        self._reader.join(STOP_SECONDS)
        if self._child.stdout is not None:
            self._child.stdout.close()

    def _read(self) -> None:
        assert self._child.stdout is not None  # noqa: S101  # a pipe was asked for
        # Appended, so that a part that was started again keeps what it said before it ended.
        with self.log.open("a", encoding="utf-8") as file:
            for line in self._child.stdout:
                file.write(line)
                file.flush()
                if self._ready.search(line):
                    self._is_ready.set()
                elif self._echo is not None:
                    self._echo.write(line)
                    self._echo.flush()


@dataclass(frozen=True)
class Part:
    """What is needed to start a part of the stack, and to start it again."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    ready: str = r"\bready\b"
    echo: IO[str] | None = None

    def start(self, folder: Path) -> Process:
        """Start the part; its log is in `folder`."""
        return Process(
            self.name,
            [*self.arguments, "--exit-with-stdin"],
            environment=self.environment,
            log=folder / f"{self.name}.log",
            ready=self.ready,
            echo=self.echo,
        )
