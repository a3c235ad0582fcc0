"""The whole product on one machine: broker, identity, Dataverse, CMMS, relay and the Functions hosts, on loopback."""

import json
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from types import TracebackType
from typing import IO, Final, Self

from local.ports import Ports
from local.processes import STOP_SECONDS, Part, Process, StackError
from local.run import ROOT, OwnCmms, Run, write_private

START_SECONDS: Final = 180.0
PARTS: Final = "parts.json"
"""In the run's folder: the parts' process numbers and where their faults are switched, for `python -m local.faults`."""
_LOOK_SECONDS: Final = 0.3
_RESTARTS: Final = 5
_RESTARTS_WITHIN: Final = 60.0


class Stack(Run):
    """A running stack; `with Stack(...) as stack:` starts and stops it.

    A part that ends by itself is started again, and `say` is told. `failure` is why the stack cannot go on, once a part
    ends again and again. State lives as long as the run, or with `keep` until it is deleted.
    """

    def __init__(
        self,
        ports: Ports,
        *,
        echo: IO[str] | None = None,
        say: Callable[[str], None] = lambda _sentence: None,
        one_way: bool = False,
        console: bool = False,
        columns: bool = False,
        settle_seconds: float = 120,
        settings: dict[str, str] | None = None,
        keep: bool = False,
        own_cmms: OwnCmms | None = None,
        grace_seconds: float = 5,
    ) -> None:
        """Decide everything, and start nothing yet.

        Args:
            ports: Where each part listens.
            echo: Gets the Functions hosts' output.
            say: Gets a sentence for each part that ended and was started again.
            one_way: Without the CMMS's API.
            console: Also serve the operator's console.
            columns: Create the custom columns that the mapping names and Dynamics lacks.
            settle_seconds: RECONCILE_SETTLE_SECONDS.
            settings: Added to the functions' environment.
            keep: Go on with the state of the last kept run, and keep it.
            own_cmms: A CMMS that somebody else runs, in place of the demo's.
            grace_seconds: How long functions may go on with what they were handed when their host is to stop.
        """
        super().__init__(
            ports,
            one_way=one_way,
            settle_seconds=settle_seconds,
            settings=settings or {},
            keep=keep,
            own_cmms=own_cmms,
        )
        self.failure: str | None = None
        self.restarts: list[str] = []
        self._echo = echo
        self._say = say
        self._console = console
        self._columns = columns
        self._grace = grace_seconds
        self._parts: dict[str, Part] = {}
        self._processes: dict[str, Process] = {}
        self._ends: defaultdict[str, list[float]] = defaultdict(list)
        self._stopping = threading.Event()
        self._turn = threading.RLock()
        self._watcher = threading.Thread(target=self._watch, daemon=True, name="watcher")

    def __enter__(self) -> Self:
        try:
            self.ports.wait_free()
            for part in self._first_parts():
                self._start(part)
            for name in ("identity", "dataverse"):
                self._processes[name].wait_ready(START_SECONDS)
            self._provision()
            for process in self._processes.values():
                process.wait_ready(START_SECONDS)
            if self._console:
                self._start(self._console_part())
                self._processes["console"].wait_ready(START_SECONDS)
            if self.own_cmms is None:
                # The relay reads the outbox, whose tables the CMMS makes when it starts.
                relay = ("django", "relay_outbox", "--interval", "0.2")
                self._start(Part("relay", relay, self.cmms_environment(), ready=""))
            self._watcher.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop every process: the functions and the relay first, so that they do not see the others go."""
        self._stopping.set()
        if self._watcher.is_alive():
            self._watcher.join()
        everything = list(self._processes.values())
        last = [process for process in everything if process.name == "relay" or process.name.startswith("functions")]
        for wave in (last, everything):
            for process in wave:
                process.request_stop()
            for process in wave:
                process.stop()
        self._processes.clear()

    def halt(self, *names: str) -> None:
        """Stop parts, which stay down until `resume`."""
        with self._turn:
            halted = [self._processes.pop(name) for name in names]
            for process in halted:
                process.request_stop()
            for process in halted:
                process.stop(STOP_SECONDS + self._grace)

    def resume(self, *names: str) -> None:
        """Start parts that were halted, and wait until they are up.

        Raises:
            StackError: One of them does not come up; shows the end of its log.
        """
        with self._turn:
            for name in names:
                self._start(self._parts[name])
                if self._parts[name].ready:
                    self._processes[name].wait_ready(START_SECONDS)

    def _first_parts(self) -> list[Part]:
        """Everything but the relay, in the order of starting."""
        ports, common = self.ports, self.environment()
        broker = ("--port", str(ports.servicebus), "--admin-port", str(ports.servicebus_admin))
        dataverse = ("--port", str(ports.dataverse), "--config", str(self.dataverse_config()))
        messages = str(self.folder / "servicebus.sqlite3")
        parts = [
            Part(
                "servicebus",
                ("local.emulators.servicebus", *broker, "--config", str(self.queues_config()), "--state", messages),
                common,
            ),
            Part(
                "identity",
                ("local.emulators.identity", "--port", str(ports.identity), "--config", str(self.identity_config())),
                common,
            ),
            Part(
                "dataverse",
                ("local.emulators.dataverse", *dataverse, "--state", str(self.folder / "dataverse.state")),
                common,
            ),
        ]
        if self.own_cmms is None:
            parts.append(Part("cmms", ("local.cmms", "--port", str(ports.cmms)), self.cmms_environment()))
        return [*parts, *self._hosts()]

    def _hosts(self) -> list[Part]:
        # As in Azure, where the instances of an app share the queues and only one of them runs a timer.
        first = ("functions", self.ports.host, ())
        more = [
            (f"functions-{number}", port, ("--without-timers",))
            for number, port in enumerate(self.ports.more_hosts, start=2)
        ]
        environment = self.functions_environment()
        return [
            Part(
                name,
                (
                    *("local.emulators.functions_host", "--app", str(ROOT), "--port", str(port)),
                    *("--grace", str(self._grace), *options),
                ),
                environment,
                ready=r"^ready\b",
                echo=self._echo,
            )
            for name, port, options in (first, *more)
        ]

    def _console_part(self) -> Part:
        settings = {**self.environment(), **self.operator_settings(), "OPS_CONSOLE_TOKEN": self.keys.console}
        return Part("console", ("ops", "console", "--no-open", "--port", str(self.ports.console)), settings)

    def _provision(self) -> None:
        """Set the organization up as an administrator does: keys, change tracking, webhook.

        Raises:
            StackError: It failed; shows what it said.
        """
        done = subprocess.run(  # noqa: S603  # our own command line
            [sys.executable, "-m", "ops", "provision", "--yes", *(["--columns"] if self._columns else [])],
            env={**self.environment(), **self.operator_settings()},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        (self.folder / "provision.log").write_text(done.stdout + done.stderr, encoding="utf-8")
        if done.returncode:
            cannot = [line.strip() for line in done.stdout.splitlines() if "! cannot" in line]
            said = "\n".join(cannot) if cannot else done.stdout + done.stderr
            hint = " 'make up NEW_COLUMNS=1' has missing custom columns created." if "--columns" in said else ""
            raise StackError(f"Setting the local Dynamics up failed.{hint}\n{said}")

    def _start(self, part: Part) -> None:
        self._parts[part.name] = part
        self._processes[part.name] = part.start(self.folder)
        numbers = {name: process.pid for name, process in self._processes.items()}
        controls = {
            "dataverse": f"{self.dataverse_url}/_emulator/faults",
            "servicebus": f"http://127.0.0.1:{self.ports.servicebus_admin}/faults",
            "cmms": f"{self.cmms_url}/_local/faults",
        }
        if self.own_cmms is not None:
            del controls["cmms"]
        write_private(self.folder / PARTS, json.dumps({"parts": numbers, "controls": controls}))

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS) and self.failure is None:
            with self._turn:
                ended = [process for process in self._processes.values() if not process.running]
                for process in ended:
                    self._start_again(process)

    def _start_again(self, ended: Process) -> None:
        now = time.monotonic()
        recent = [moment for moment in self._ends[ended.name] if now - moment < _RESTARTS_WITHIN]
        self._ends[ended.name] = [*recent, now]
        if len(recent) >= _RESTARTS:
            self.failure = (
                f"{ended.name} ended {len(recent) + 1} times within a minute ({ended.ending}). "
                f"The end of {ended.log}:\n{ended.tail()}"
            )
            return
        ended.stop()
        self._start(self._parts[ended.name])
        sentence = f"{ended.name} ended by itself ({ended.ending}) and was started again; its log is {ended.log}."
        self.restarts.append(sentence)
        self._say(sentence)
