"""What a measurement runs on: broker, identity and Dataverse as they stand, and a Functions host started on demand.

One-way mode, so that no CMMS is the bottleneck; no webhooks, so that only the messages asked for are measured; no
reconciliation in between.
"""

import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from uuid import uuid4

import httpx

from benchmarks.conditions import FREE, Conditions
from benchmarks.worker import Worker
from local.emulators.identity.tokens import DEFAULT_TENANT, mint_token
from local.ports import Ports
from local.processes import Process
from local.run import ROOT, RUNS, Keys, broker_queues

START_SECONDS: Final = 60.0
DRAIN_SECONDS: Final = 900.0
MOST_HOSTS: Final = 3
POLL_SECONDS: Final = 0.1
_NEVER: Final = "0 0 0 1 1 *"


class Bench:
    """Broker, identity and Dataverse, empty; `with Bench(USUAL) as bench:` starts and stops them."""

    def __init__(self, conditions: Conditions = FREE) -> None:
        self.keys = Keys()
        self.organization_url = ""
        self._conditions = conditions
        self._ports = Ports.free(MOST_HOSTS)
        self._stack = ExitStack()
        self._http = self._stack.enter_context(httpx.Client(trust_env=False, timeout=60.0))
        self._dataverse: Process | None = None
        RUNS.mkdir(exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=time.strftime("bench-%H%M%S-"), dir=RUNS))

    def __enter__(self) -> Self:
        ports = self._ports
        self.organization_url = f"http://127.0.0.1:{ports.dataverse}"
        try:
            queues = self._write("queues.json", broker_queues())
            parts = [
                self._start("servicebus", ports.servicebus, queues, "--admin-port", str(ports.servicebus_admin)),
                self._start("identity", ports.identity, self._write("identity.json", self._identity_config())),
            ]
            self._write("dataverse.json", self._dataverse_config())
            self._stack.callback(self.stop_dataverse)
            self.start_dataverse()
            for part in parts:
                part.wait_ready(START_SECONDS)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def servicebus_connection(self) -> str:
        """The broker's connection string."""
        return (
            f"Endpoint=sb://localhost:{self._ports.servicebus};SharedAccessKeyName=local;SharedAccessKey=local;"
            "UseDevelopmentEmulator=true;"
        )

    @property
    def token_url(self) -> str:
        """Where a client signs in with `keys.integration_id` and the secret `keys.identity`."""
        return f"http://127.0.0.1:{self._ports.identity}/{DEFAULT_TENANT}/oauth2/v2.0/token"

    def token(self, *, person: bool = False) -> str:
        """A token for two hours: of the integration, or of a person who edits in Dynamics."""
        client_id = self.keys.person_id if person else self.keys.integration_id
        hours = timedelta(hours=2)
        return mint_token(self.keys.signing, resource=self.organization_url, client_id=client_id, lifetime=hours)

    @contextmanager
    def worker(
        self, number: int = 0, *, app: Path = ROOT, settings: Mapping[str, str] | None = None
    ) -> Iterator[Worker]:
        """One Functions host with its worker, from its cold start to its end; `number` tells several apart."""
        port = (self._ports.host, *self._ports.more_hosts)[number]
        process = Process(
            f"functions-{number}",
            ["local.emulators.functions_host", "--app", str(app), "--port", str(port), "--exit-with-stdin"],
            environment={**self._environment(), **self._functions(), **(settings or {})},
            log=self.folder / f"functions-{number}.log",
            ready=r"^ready\b",
        )
        try:
            process.wait_ready(START_SECONDS)
            yield Worker(self._http, f"http://127.0.0.1:{port}", self.keys.master, process)
        finally:
            process.stop()

    def waiting(self, queue: str) -> int:
        """How many messages of a queue are not settled yet."""
        counts = self._get(f"http://127.0.0.1:{self._ports.servicebus_admin}/counts")[queue]
        return sum(counts[name] for name in ("active", "scheduled", "locked"))

    def wait_drained(self, queue: str, worker: Worker, *, seconds: float = DRAIN_SECONDS) -> None:
        """Wait until a queue is empty and nothing of it is locked or scheduled.

        Raises:
            TimeoutError: It is not; the count and the end of the worker's log say what happened.
        """
        until = time.monotonic() + seconds
        while (left := self.waiting(queue)) > 0:
            if time.monotonic() > until:
                raise TimeoutError(f"The queue {queue} still holds {left}. The worker's log:\n{worker.log_tail()}")
            time.sleep(POLL_SECONDS)

    def start_dataverse(self) -> None:
        """Start Dataverse, with the rows that it had when it stopped."""
        kept = ("--state", str(self.folder / "dataverse.state")) if self._conditions.durable else ()
        self._dataverse = self._process("dataverse", self._ports.dataverse, self.folder / "dataverse.json", *kept)
        self._dataverse.wait_ready(START_SECONDS)

    def stop_dataverse(self) -> None:
        """Stop Dataverse: from now on its port refuses connections."""
        if self._dataverse is not None:
            self._dataverse.stop()
            self._dataverse = None

    def fault(self, rule: Mapping[str, Any]) -> None:
        """Let Dataverse answer badly; docs/emulators.md lists what a rule may say."""
        self._http.post(f"{self._control}/faults", json=dict(rule)).raise_for_status()

    def struck(self) -> int:
        """How many requests the faults have met so far."""
        return sum(rule["struck"] for rule in self._get(f"{self._control}/faults")["faults"])

    def clear_faults(self) -> None:
        """Let Dataverse answer well again."""
        self._http.delete(f"{self._control}/faults").raise_for_status()

    def reset_stats(self) -> None:
        """Count Dataverse's requests from zero."""
        self._http.post(f"{self._control}/reset-stats").raise_for_status()

    def stats(self) -> dict[str, Any]:
        """What Dataverse was asked since."""
        return self._get(f"{self._control}/stats")

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Every row of a Dataverse table."""
        rows: list[dict[str, Any]] = self._get(f"{self._control}/tables/{table}")["rows"]
        return rows

    @property
    def _control(self) -> str:
        return f"{self.organization_url}/_emulator"

    def _get(self, url: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._http.get(url).raise_for_status().json()
        return answer

    def _start(self, name: str, port: int, config: Path, *more: str) -> Process:
        process = self._process(name, port, config, *more)
        self._stack.callback(process.stop)
        return process

    def _process(self, name: str, port: int, config: Path, *more: str) -> Process:
        return Process(
            name,
            [f"local.emulators.{name}", "--port", str(port), "--config", str(config), *more, "--exit-with-stdin"],
            environment=self._environment(),
            log=self.folder / f"{name}.log",
            ready=r"\bready\b",
        )

    @staticmethod
    def _environment() -> dict[str, str]:
        return {**os.environ, "NO_PROXY": "127.0.0.1,localhost", "PYTHONPATH": str(ROOT)}

    def _functions(self) -> dict[str, str]:
        return {
            "DYNAMICS_365_RESOURCE_URL": self.organization_url,
            "DYNAMICS_365_WEBHOOK_SECRET": self.keys.webhook,
            "IDENTITY_ENDPOINT": f"http://127.0.0.1:{self._ports.identity}/msi/token",
            "IDENTITY_HEADER": self.keys.identity,
            "AZURE_CLIENT_ID": self.keys.integration_id,
            "ServiceBusConnection": self.servicebus_connection,
            "SYNC_LEDGER": f"sqlite:///{self.folder / 'ledger.sqlite3'}",
            "RECONCILE_SCHEDULE": _NEVER,
            "LOCAL_HOST_MASTER_KEY": self.keys.master,
            "LOCAL_HOST_FUNCTION_KEY": self.keys.webhook,
        }

    def _identity_config(self) -> dict[str, Any]:
        return {
            "signing_key": self.keys.signing,
            "identity_header": self.keys.identity,
            "managed_identities": [{"client_id": self.keys.integration_id}],
            "applications": [{"client_id": self.keys.integration_id, "client_secret": self.keys.identity}],
        }

    def _dataverse_config(self) -> dict[str, Any]:
        return {
            "signing_key": self.keys.signing,
            "audience": self.organization_url,
            "organization": {"id": str(uuid4()), "name": "local", "host": "local.crm.dynamics.com"},
            "users": [
                {"name": "Energy CMMS integration", "application_id": self.keys.integration_id},
                {"name": "Person", "application_id": self.keys.person_id},
            ],
            **self._conditions.config(),
        }

    def _write(self, name: str, content: object) -> Path:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(json.dumps(content), encoding="utf-8")
        return path
