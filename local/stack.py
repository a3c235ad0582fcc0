"""The whole product on one machine: broker, identity, Dataverse, CMMS, relay and the Functions host, on loopback."""

import subprocess
import sys
from types import TracebackType
from typing import IO, Final, Self

from local.ports import Ports
from local.processes import Process, StackError
from local.run import ROOT, Run

START_SECONDS: Final = 60.0


class Stack(Run):
    """A running stack; `with Stack(...) as stack:` starts and stops it. State lives as long as the run."""

    def __init__(
        self,
        ports: Ports,
        *,
        echo: IO[str] | None = None,
        one_way: bool = False,
        console: bool = False,
        settle_seconds: float = 120,
        settings: dict[str, str] | None = None,
    ) -> None:
        """Decide everything, and start nothing yet.

        Args:
            ports: Where each part listens.
            echo: Gets the Functions host's output.
            one_way: Without the CMMS's API.
            console: Also serve the operator's console.
            settle_seconds: RECONCILE_SETTLE_SECONDS.
            settings: Added to the functions' environment.
        """
        super().__init__(ports, one_way=one_way, settle_seconds=settle_seconds, settings=settings or {})
        self._echo = echo
        self._console = console
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        try:
            self.ports.wait_free()
            cmms = self._start()
            for process in self._processes:
                if process.name in {"identity", "dataverse"}:
                    process.wait_ready(START_SECONDS)
            self._provision()
            for process in self._processes:
                process.wait_ready(START_SECONDS)
            # The relay reads the outbox, whose tables the CMMS makes when it starts.
            if self._console:
                settings = {**self.environment(), **self.operator_settings(), "OPS_CONSOLE_TOKEN": self.keys.console}
                arguments = ["ops", "console", "--no-open", "--port", str(self.ports.console)]
                self._run("console", arguments, settings)
                self._processes[-1].wait_ready(START_SECONDS)
            self._run("relay", ["django", "relay_outbox", "--interval", "0.2"], cmms, ready="")
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
        last = [process for process in self._processes if process.name in {"relay", "functions"}]
        for wave in (last, self._processes):
            for process in wave:
                process.request_stop()
            for process in wave:
                process.stop()
        self._processes.clear()

    def ended(self) -> Process | None:
        """A process that ended by itself, if one did."""
        return next((process for process in self._processes if not process.running), None)

    def _start(self) -> dict[str, str]:
        ports, common = self.ports, self.environment()
        self._run(
            "servicebus",
            [
                "local.emulators.servicebus",
                *("--port", str(ports.servicebus)),
                *("--admin-port", str(ports.servicebus_admin)),
                *("--config", str(self.queues_config())),
            ],
            common,
        )
        self._run(
            "identity",
            ["local.emulators.identity", "--port", str(ports.identity), "--config", str(self.identity_config())],
            common,
        )
        self._run(
            "dataverse",
            ["local.emulators.dataverse", "--port", str(ports.dataverse), "--config", str(self.dataverse_config())],
            common,
        )
        cmms = self.cmms_environment()
        self._run("cmms", ["local.cmms", "--port", str(ports.cmms)], cmms)
        self._run(
            "functions",
            ["local.emulators.functions_host", "--app", str(ROOT), "--port", str(ports.host)],
            self.functions_environment(),
            ready=r"^ready\b",
            echo=self._echo,
        )
        return cmms

    def _provision(self) -> None:
        """Set the empty organization up as an administrator does: keys, change tracking, webhook.

        Raises:
            StackError: It failed; shows what it said.
        """
        done = subprocess.run(
            [sys.executable, "-m", "ops", "provision", "--yes"],
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
            raise StackError(f"Setting the local Dynamics up failed:\n{done.stdout}{done.stderr}")

    def _run(
        self,
        name: str,
        arguments: list[str],
        environment: dict[str, str],
        *,
        ready: str = r"\bready\b",
        echo: IO[str] | None = None,
    ) -> None:
        self._processes.append(
            Process(
                name,
                [*arguments, "--exit-with-stdin"],
                environment=environment,
                log=self.folder / f"{name}.log",
                ready=ready,
                echo=echo,
            )
        )
