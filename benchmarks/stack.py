"""What a measurement runs on: broker, identity and Dataverse as they stand, and a Functions host started on demand.

One-way mode, so that no CMMS is the bottleneck; no webhooks, so that only the messages asked for are measured; no
reconciliation in between.
"""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from uuid import uuid4

import httpx

from local.ports import Ports
from local.processes import Process
from local.run import ROOT, RUNS, Keys, broker_queues

START_SECONDS: Final = 60.0
DRAIN_SECONDS: Final = 600.0
_NEVER: Final = "0 0 0 1 1 *"


@dataclass(frozen=True)
class Usage:
    """What a Functions host and its worker have used since they started; `worker_seconds` is the worker's part."""

    cpu_seconds: float
    worker_seconds: float
    peak_mb: float
    batches: int


class Bench:
    """Broker, identity and Dataverse, empty; `with Bench() as bench:` starts and stops them."""

    def __init__(self) -> None:
        self._ports = Ports.free()
        self._keys = Keys()
        self._stack = ExitStack()
        self._http = self._stack.enter_context(httpx.Client(trust_env=False, timeout=60.0))
        RUNS.mkdir(exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=time.strftime("figures-%H%M%S-"), dir=RUNS))

    def __enter__(self) -> Self:
        ports = self._ports
        try:
            self._run("servicebus", "--port", str(ports.servicebus), "--admin-port", str(ports.servicebus_admin),
                      "--config", self._write("queues.json", broker_queues()))  # fmt: skip
            self._run(
                "identity", "--port", str(ports.identity), "--config", self._write("identity.json", self._identity())
            )
            self._run("dataverse", "--port", str(ports.dataverse), "--config",
                      self._write("dataverse.json", self._dataverse()))  # fmt: skip
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

    @contextmanager
    def worker(self) -> Iterator["Worker"]:
        """One worker, from its cold start to its end."""
        process = self._process(
            "functions",
            ["local.emulators.functions_host", "--app", str(ROOT), "--port", str(self._ports.host)],
            ready=r"^ready\b",
            environment=self._functions(),
        )
        try:
            process.wait_ready(START_SECONDS)
            yield Worker(self._http, f"http://127.0.0.1:{self._ports.host}", self._keys.master, process)
        finally:
            process.stop()

    def wait_drained(self, queue: str, worker: "Worker") -> None:
        """Wait until a queue is empty and nothing of it is locked or scheduled.

        Raises:
            TimeoutError: It is not; the counts and the end of the worker's log say what happened.
        """
        until = time.monotonic() + DRAIN_SECONDS
        while True:
            counts = self._get(f"http://127.0.0.1:{self._ports.servicebus_admin}/counts")[queue]
            if not any(counts[name] for name in ("active", "scheduled", "locked")):
                return
            if time.monotonic() > until:
                raise TimeoutError(f"The queue {queue} still holds {counts}. The worker's log:\n{worker.log_tail()}")
            time.sleep(0.25)

    def reset_stats(self) -> None:
        """Count Dataverse's requests from zero."""
        self._http.post(f"{self._emulator}/reset-stats").raise_for_status()

    def stats(self) -> dict[str, Any]:
        """What Dataverse was asked since."""
        return self._get(f"{self._emulator}/stats")

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Every row of a Dataverse table."""
        rows: list[dict[str, Any]] = self._get(f"{self._emulator}/tables/{table}")["rows"]
        return rows

    @property
    def _emulator(self) -> str:
        return f"http://127.0.0.1:{self._ports.dataverse}/_emulator"

    def _get(self, url: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._http.get(url).raise_for_status().json()
        return answer

    def _run(self, name: str, *arguments: str) -> None:
        process = self._process(name, [f"local.{name}", *arguments], ready=r"\bready\b", environment={})
        self._stack.callback(process.stop)
        process.wait_ready(START_SECONDS)

    def _process(self, name: str, arguments: list[str], *, ready: str, environment: dict[str, str]) -> Process:
        return Process(
            name,
            [*arguments, "--exit-with-stdin"],
            environment={**os.environ, "NO_PROXY": "127.0.0.1,localhost", "PYTHONPATH": str(ROOT), **environment},
            log=self.folder / f"{name}.log",
            ready=ready,
        )

    def _functions(self) -> dict[str, str]:
        ports, keys = self._ports, self._keys
        return {
            "DYNAMICS_365_RESOURCE_URL": f"http://127.0.0.1:{ports.dataverse}",
            "DYNAMICS_365_WEBHOOK_SECRET": keys.webhook,
            "IDENTITY_ENDPOINT": f"http://127.0.0.1:{ports.identity}/msi/token",
            "IDENTITY_HEADER": keys.identity,
            "AZURE_CLIENT_ID": keys.integration_id,
            "ServiceBusConnection": self.servicebus_connection,
            "SYNC_LEDGER": f"sqlite:///{self.folder / 'ledger.sqlite3'}",
            "RECONCILE_SCHEDULE": _NEVER,
            "LOCAL_HOST_MASTER_KEY": keys.master,
            "LOCAL_HOST_FUNCTION_KEY": keys.webhook,
        }

    def _identity(self) -> dict[str, Any]:
        return {
            "signing_key": self._keys.signing,
            "identity_header": self._keys.identity,
            "managed_identities": [{"client_id": self._keys.integration_id}],
        }

    def _dataverse(self) -> dict[str, Any]:
        return {
            "signing_key": self._keys.signing,
            "audience": f"http://127.0.0.1:{self._ports.dataverse}",
            "organization": {"id": str(uuid4()), "name": "local", "host": "local.crm.dynamics.com"},
            "users": [{"name": "Energy CMMS integration", "application_id": self._keys.integration_id}],
            "webhooks": [],
        }

    def _write(self, name: str, content: object) -> str:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(json.dumps(content), encoding="utf-8")
        return str(path)


class Worker:
    """A running Functions host."""

    def __init__(self, http: httpx.Client, url: str, key: str, process: Process) -> None:
        self._http = http
        self._url = f"{url}/admin/host/metrics"
        self._headers = {"x-functions-key": key}
        self._process = process

    def usage(self, function: str = "assets") -> Usage:
        """Read the host's own figures."""
        answer = self._http.get(self._url, headers=self._headers).raise_for_status().json()
        process, counts = answer["process"], answer["functions"][function]
        return Usage(
            process["cpu_seconds"], process["worker_cpu_seconds"], process["peak_rss_mb"], counts["invocations"]
        )

    def log_tail(self) -> str:
        """The end of its log."""
        return self._process.tail()
