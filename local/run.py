"""One run of the local stack: its addresses, its secrets, its folder, and what each part is told."""

import json
import os
import secrets
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final
from uuid import uuid4

from local.alive import alive
from local.emulators.identity.tokens import mint_token
from local.ports import Ports
from shared.domain.messages import queues
from shared.settings import Settings, setting_name

ROOT: Final = Path(__file__).resolve().parent.parent
RUNS: Final = ROOT / ".local"
_KEPT: Final = 5
_OURS: Final = frozenset(setting_name(field).lower() for field in Settings.model_fields)
_TRIED: Final = ("SYNC_MAPPING", "RECONCILE_FULL_EVERY", "RECONCILE_MAX_REPAIRS", "RECONCILE_MODE")
"""Settings that a person may try on the local stack; any other is of an installation that the stack must not touch."""


@dataclass(frozen=True)
class Keys:
    """This run's secrets, random."""

    webhook: str = field(default_factory=lambda: secrets.token_hex(24), repr=False)
    signing: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    identity: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    cmms: str = field(default_factory=lambda: secrets.token_hex(24), repr=False)
    master: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    console: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    integration_id: str = field(default_factory=lambda: str(uuid4()))
    person_id: str = field(default_factory=lambda: str(uuid4()))


class Run:
    """What is decided before anything starts. State lives in `folder`; those of the last runs are kept for a look."""

    def __init__(self, ports: Ports, *, one_way: bool, settle_seconds: float, settings: dict[str, str]) -> None:
        """`settings` are added to the functions' environment."""
        self.ports = ports
        self.keys = Keys()
        self.organization_id = str(uuid4())
        self._one_way = one_way
        self._settle_seconds = settle_seconds
        self._settings = settings
        RUNS.mkdir(exist_ok=True)
        ended = [path for path in RUNS.glob("run-*") if not alive(path)]
        for old in sorted(ended, key=lambda path: path.stat().st_mtime)[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        self.folder = Path(tempfile.mkdtemp(prefix=time.strftime("run-%H%M%S-"), dir=RUNS))
        (self.folder / "pid").write_text(str(os.getpid()), encoding="utf-8")

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
    def console_url(self) -> str:
        """The operator's console, signed in."""
        return f"http://127.0.0.1:{self.ports.console}/?token={self.keys.console}"

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

    def operator_settings(self) -> dict[str, str]:
        """What `python -m ops` needs to work on this stack; holds this run's secrets."""
        log = str(self.folder / "functions.log")
        own = {"OPS_WEBHOOK_URL": self.webhook_url, "OPS_LOG": log, "NO_PROXY": "127.0.0.1,localhost"}
        return {**self._functions_settings(), **self._settings, **own}

    def environment(self) -> dict[str, str]:
        """What every part's process gets."""
        inherited = {name: value for name, value in os.environ.items() if name.lower() not in _OURS}
        return {**inherited, "NO_PROXY": "127.0.0.1,localhost", "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}

    def cmms_environment(self) -> dict[str, str]:
        """What the demo CMMS and its relay get."""
        return {
            **self.environment(),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "cmms")]),
            "DJANGO_SETTINGS_MODULE": "demo.settings",
            "CMMS_DEMO_DB": str(self.folder / "cmms.sqlite3"),
            "CMMS_TOKEN": self.keys.cmms,
            "ServiceBusConnection": self.servicebus_connection,
        }

    def functions_environment(self) -> dict[str, str]:
        """What the Functions host gets."""
        return {**self.environment(), **self._functions_settings(), **self._settings}

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
        settings |= {name: os.environ[name] for name in _TRIED if os.environ.get(name)}
        if mapping := settings.get("SYNC_MAPPING"):
            settings["SYNC_MAPPING"] = str(Path(mapping).absolute())
        return settings

    def queues_config(self) -> Path:
        """The broker's configuration: the product's queues."""
        return self._write("queues.json", broker_queues())

    def identity_config(self) -> Path:
        """The identity service's configuration."""
        return self._write(
            "identity.json",
            {
                "signing_key": self.keys.signing,
                "identity_header": self.keys.identity,
                "managed_identities": [{"client_id": self.keys.integration_id}],
            },
        )

    def dataverse_config(self) -> Path:
        """The emulated organization's configuration."""
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


def broker_queues() -> list[dict[str, object]]:
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
