"""One run of the local stack: its addresses, its secrets, its folder, and what each part is told."""

import json
import os
import secrets
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Final, Self
from uuid import uuid4

from pydantic import TypeAdapter

from local.alive import alive
from local.emulators.identity.tokens import mint_token
from local.ports import Ports
from local.processes import StackError
from shared.domain.messages import queues
from shared.settings import Settings, setting_name

ROOT: Final = Path(__file__).resolve().parent.parent
RUNS: Final = ROOT / ".local"
_KEPT: Final = 5
_OURS: Final = frozenset(setting_name(field).lower() for field in Settings.model_fields)
KEPT_RUN: Final = "run-kept"
"""The folder of the run whose state `make up KEEP=1` keeps."""
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


@dataclass(frozen=True)
class Known:
    """What a kept run must find again: the parts' state names addresses and identities of the run that made it."""

    FILE: ClassVar = "run.json"

    ports: Ports
    keys: Keys
    organization_id: str

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """What the run before left in the folder; None if there was none."""
        try:
            text = (folder / cls.FILE).read_bytes()
        except FileNotFoundError:
            return None
        return TypeAdapter(cls).validate_json(text)


@dataclass(frozen=True)
class OwnCmms:
    """A CMMS that somebody else runs, in place of the demo's."""

    url: str
    token: str = field(repr=False)


class Run:
    """What is decided before anything starts. State lives in `folder`; those of the last runs are kept for a look."""

    def __init__(
        self,
        ports: Ports,
        *,
        one_way: bool,
        settle_seconds: float,
        settings: dict[str, str],
        keep: bool = False,
        own_cmms: OwnCmms | None = None,
    ) -> None:
        """`settings` are added to the functions' environment; `keep` goes on with the state of the last kept run.

        Raises:
            StackError: `keep`, and another stack works on the kept state.
        """
        self._one_way = one_way
        self._settle_seconds = settle_seconds
        self._settings = settings
        self.own_cmms = own_cmms
        RUNS.mkdir(exist_ok=True)
        ended = [path for path in RUNS.glob("run-*") if path.name != KEPT_RUN and not alive(path)]
        for old in sorted(ended, key=lambda path: path.stat().st_mtime)[:-_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        self.folder = _kept_folder() if keep else Path(tempfile.mkdtemp(prefix=time.strftime("run-%H%M%S-"), dir=RUNS))
        (self.folder / "pid").write_text(str(os.getpid()), encoding="utf-8")
        known = Known.read(self.folder) or Known(ports, Keys(), str(uuid4()))
        if len(known.ports.more_hosts) != len(ports.more_hosts):
            known = replace(known, ports=replace(known.ports, more_hosts=ports.more_hosts))
        self.ports, self.keys, self.organization_id = known.ports, known.keys, known.organization_id
        if keep:
            self._write(Known.FILE, asdict(known))

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
        """The CMMS's address."""
        return self.own_cmms.url if self.own_cmms is not None else f"http://127.0.0.1:{self.ports.cmms}"

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
            token = self.own_cmms.token if self.own_cmms is not None else self.keys.cmms
            settings |= {"CMMS_BASE_URL": self.cmms_url, "CMMS_TOKEN": token}
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
        write_private(path, json.dumps(content))
        return path


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text, encoding="utf-8")


def _kept_folder() -> Path:
    folder = RUNS / KEPT_RUN
    if alive(folder):
        raise StackError(f"A stack with KEEP=1 runs already, on {folder.relative_to(ROOT)}. Stop it first.")
    folder.mkdir(exist_ok=True)
    return folder


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
