"""The whole product on one machine: broker, identity, Dataverse, CMMS, relay and the Functions host, on loopback."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self
from uuid import uuid4

from local.identity.tokens import mint_token
from local.processes import Process, StackError
from shared.domain import queues

ROOT: Final = Path(__file__).resolve().parent.parent
RUNS: Final = ROOT / ".local"
START_SECONDS: Final = 60.0
KEPT_RUNS: Final = 5
_PORT_WAIT: Final = 8.0


@dataclass(frozen=True)
class Ports:
    """Where each part listens on 127.0.0.1."""

    host: int = 7071
    dataverse: int = 7072
    cmms: int = 7073
    identity: int = 7074
    servicebus: int = 5673
    servicebus_admin: int = 7075

    @classmethod
    def free(cls) -> Self:
        """Ports that nobody uses right now."""
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(6)]
            for one in sockets:
                one.bind(("127.0.0.1", 0))
            return cls(*(one.getsockname()[1] for one in sockets))

    def wait_free(self) -> None:
        """Wait until every port can be taken: a stack that was killed needs a moment to end.

        Raises:
            StackError: One is still in use.
        """
        until = time.monotonic() + _PORT_WAIT
        for name, port in vars(self).items():
            while True:
                try:
                    with socket.socket() as probe:
                        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        probe.bind(("127.0.0.1", port))
                    break
                except OSError:
                    if time.monotonic() > until:
                        raise StackError(
                            f"Port {port} ({name}) is in use. End what uses it, or start on free ports with"
                            " 'make up FREE_PORTS=1'."
                        ) from None
                    time.sleep(0.2)


@dataclass(frozen=True)
class Keys:
    """This run's secrets, random."""

    webhook: str = field(default_factory=lambda: secrets.token_hex(24), repr=False)
    signing: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    identity: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    cmms: str = field(default_factory=lambda: secrets.token_hex(24), repr=False)
    master: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    integration_id: str = field(default_factory=lambda: str(uuid4()))
    person_id: str = field(default_factory=lambda: str(uuid4()))


class Stack:
    """A running stack; `with Stack(...) as stack:` starts and stops it. State lives as long as the run."""

    def __init__(
        self,
        ports: Ports,
        *,
        echo: IO[str] | None = None,
        one_way: bool = False,
        settle_seconds: float = 120,
        settings: dict[str, str] | None = None,
    ) -> None:
        """`echo` gets the Functions host's output; `settings` are added to the functions' environment."""
        self.ports = ports
        self.keys = Keys()
        self.organization_id = str(uuid4())
        self._echo = echo
        self._one_way = one_way
        self._settle_seconds = settle_seconds
        self._settings = settings or {}
        self._processes: list[Process] = []
        RUNS.mkdir(exist_ok=True)
        for old in sorted(RUNS.glob("run-*"), key=lambda path: path.stat().st_mtime)[:-KEPT_RUNS]:
            shutil.rmtree(old, ignore_errors=True)
        self.folder = Path(tempfile.mkdtemp(prefix=time.strftime("run-%H%M%S-"), dir=RUNS))

    @property
    def dataverse_url(self) -> str:
        """The emulated organization's address."""
        return f"http://127.0.0.1:{self.ports.dataverse}"

    @property
    def web_api_url(self) -> str:
        """Its Web API."""
        return f"{self.dataverse_url}/api/data/v9.2"

    @property
    def cmms_url(self) -> str:
        """The demo CMMS's address."""
        return f"http://127.0.0.1:{self.ports.cmms}"

    @property
    def host_url(self) -> str:
        """The Functions host's address."""
        return f"http://127.0.0.1:{self.ports.host}"

    @property
    def webhook_url(self) -> str:
        """Where Dynamics calls."""
        return f"{self.host_url}/api/dynamics/webhook"

    @property
    def servicebus_connection(self) -> str:
        """The broker's connection string."""
        return (
            f"Endpoint=sb://localhost:{self.ports.servicebus};SharedAccessKeyName=local;SharedAccessKey=local;"
            "UseDevelopmentEmulator=true;"
        )

    @property
    def ledger_path(self) -> Path:
        """The functions' ledger."""
        return self.folder / "ledger.sqlite3"

    @property
    def reports(self) -> Path:
        """The folder of the drift reports."""
        return self.folder / "reports"

    def person_token(self) -> str:
        """A token by which a person edits in Dynamics, for twelve hours."""
        return mint_token(
            self.keys.signing,
            resource=self.dataverse_url,
            client_id=self.keys.person_id,
            lifetime=timedelta(hours=12),
        )

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
        ports = self.ports
        common = {**os.environ, "NO_PROXY": "127.0.0.1,localhost", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
        self._run(
            "servicebus",
            [
                "local.servicebus",
                *("--port", str(ports.servicebus)),
                *("--admin-port", str(ports.servicebus_admin)),
                *("--config", str(self._write("queues.json", _queues()))),
            ],
            common,
        )
        self._run(
            "identity",
            ["local.identity", "--port", str(ports.identity), "--config", str(self._identity_config())],
            common,
        )
        self._run(
            "dataverse",
            ["local.dataverse", "--port", str(ports.dataverse), "--config", str(self._dataverse_config())],
            common,
        )
        cmms = {
            **common,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "cmms")]),
            "DJANGO_SETTINGS_MODULE": "demo.settings",
            "CMMS_DEMO_DB": str(self.folder / "cmms.sqlite3"),
            "CMMS_TOKEN": self.keys.cmms,
            "ServiceBusConnection": self.servicebus_connection,
        }
        self._run("cmms", ["local.cmms", "--port", str(ports.cmms)], cmms)
        functions = {**common, **self._functions_settings(), **self._settings}
        self._run(
            "functions",
            ["local.host", "--app", str(ROOT), "--port", str(ports.host)],
            functions,
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
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.operator_settings()},
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

    def operator_settings(self) -> dict[str, str]:
        """What `python -m ops` needs to work on this stack; holds this run's secrets."""
        own = {"OPS_WEBHOOK_URL": self.webhook_url, "NO_PROXY": "127.0.0.1,localhost"}
        return {**self._functions_settings(), **self._settings, **own}

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

    def _functions_settings(self) -> dict[str, str]:
        settings = {
            "DYNAMICS_365_RESOURCE_URL": self.dataverse_url,
            "DYNAMICS_365_WEBHOOK_SECRET": self.keys.webhook,
            "IDENTITY_ENDPOINT": f"http://127.0.0.1:{self.ports.identity}/msi/token",
            "IDENTITY_HEADER": self.keys.identity,
            "AZURE_CLIENT_ID": self.keys.integration_id,
            "ServiceBusConnection": self.servicebus_connection,
            "SYNC_LEDGER": f"sqlite:///{self.ledger_path}",
            "RECONCILE_SCHEDULE": "0 */15 * * * *",
            "RECONCILE_SETTLE_SECONDS": str(self._settle_seconds),
            "REPORT_LOCATION": str(self.reports),
            "LOCAL_HOST_MASTER_KEY": self.keys.master,
        }
        if not self._one_way:
            settings |= {"CMMS_BASE_URL": self.cmms_url, "CMMS_TOKEN": self.keys.cmms}
        return settings

    def _identity_config(self) -> Path:
        return self._write(
            "identity.json",
            {
                "signing_key": self.keys.signing,
                "identity_header": self.keys.identity,
                "managed_identities": [{"client_id": self.keys.integration_id}],
            },
        )

    def _dataverse_config(self) -> Path:
        return self._write(
            "dataverse.json",
            {
                "signing_key": self.keys.signing,
                "audience": self.dataverse_url,
                "organization": {"id": self.organization_id, "name": "local", "host": "local.crm.dynamics.com"},
                "users": [
                    {"name": "Energy CMMS integration", "application_id": self.keys.integration_id},
                    {"name": "Person", "application_id": self.keys.person_id},
                ],
                # As a new organization is: the rest is provision's work.
                "provisioned": False,
            },
        )

    def _write(self, name: str, content: object) -> Path:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(json.dumps(content), encoding="utf-8")
        return path


def _queues() -> list[dict[str, object]]:
    """The product's queues, as the broker's configuration."""

    def seconds(value: timedelta | None) -> float | None:
        return value.total_seconds() if value is not None else None

    return [
        {
            "name": queue.name,
            "lock_duration": seconds(queue.lock_duration),
            "max_delivery_count": queue.max_delivery_count,
            "duplicate_window": seconds(queue.duplicate_window),
            "time_to_live": seconds(queue.time_to_live),
        }
        for queue in queues.ALL
    ]
