"""Settings, read once per worker from the environment (application settings in Azure)."""

import re
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Literal, Self, override
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import ConfigurationError

DOCUMENT_MAPPING: Final = Path(__file__).parent / "mappings" / "document.toml"
WHERE: Final = "an application setting in Azure, the environment or local.settings.json on one machine"
# A Key Vault reference that Azure could not resolve arrives as its own text, which anybody could guess.
UNRESOLVED: Final = "@microsoft.keyvault("
SHORTEST_SECRET: Final = 16
# https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model#table-names
_TABLE: Final = re.compile(r"^[A-Za-z][A-Za-z0-9]{2,62}\Z")
_CONTAINER: Final = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}\Z")
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\Z")
_SCHEDULE: Final = re.compile(r"[A-Za-z0-9*/,?#-]+( [A-Za-z0-9*/,?#-]+){5}\Z")


def _loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return host is not None and ip_address(host).is_loopback
    except ValueError:
        return False


def _service_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        # The library's own text shows what was given.
        raise ValueError("is not an address with a host and perhaps a port") from None
    if parts.scheme != "https" and not (parts.scheme == "http" and _loopback(parts.hostname)):
        raise ValueError("must start with https:// (http:// is accepted on this machine's loopback only)")
    if not parts.hostname or port == 0 or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("must be a plain address: a host, no user, query or fragment")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("holds characters that an address cannot have")
    return value.rstrip("/")


def _optional_url(value: str) -> str:
    return value and _service_url(value)


type ServiceUrl = Annotated[str, AfterValidator(_service_url)]
type OptionalUrl = Annotated[str, AfterValidator(_optional_url)]


class BusSettings(BaseSettings):
    """What it takes to reach the queues: enough to put messages off while other settings are wrong."""

    # An empty setting is one that is not set: deployment templates cannot leave one out.
    model_config = SettingsConfigDict(extra="ignore", frozen=True, populate_by_name=True, env_ignore_empty=True)

    service_bus_connection: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="ServiceBusConnection",
        description="a connection string; only for the local stack",
    )
    service_bus_namespace: str = Field(
        default="",
        validation_alias="ServiceBusConnection__fullyQualifiedNamespace",
        description="the namespace's host name, such as contoso.servicebus.windows.net",
    )
    azure_client_id: str = Field(
        default="",
        description="the user-assigned managed identity's client id; empty for a system-assigned one",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _resolved(cls, value: object) -> object:
        if isinstance(value, str) and value.strip().lower().startswith(UNRESOLVED):
            raise ValueError("is a Key Vault reference that Azure did not resolve (check the vault's access)")
        return value

    @field_validator("service_bus_namespace")
    @classmethod
    def _host_name(cls, value: str) -> str:
        if value and not _HOST.match(value):
            raise ValueError("must be a bare host name, without sb://, port or path")
        return value

    @model_validator(mode="after")
    def _together(self) -> Self:
        if problems := self._problems():
            raise ValueError(".\n".join(problems))
        return self

    def _problems(self) -> list[str]:
        """What is wrong with several settings at once."""
        if self.service_bus_connection.get_secret_value() or self.service_bus_namespace:
            return []
        wanted = type(self).model_fields["service_bus_namespace"].description
        return [f"ServiceBusConnection__fullyQualifiedNamespace is missing: it should be {wanted}"]


class Settings(BusSettings):
    """What the functions need to know. Every field's description says what the value looks like."""

    dynamics_365_tenant_id: str = Field(
        default="", description="the Entra tenant's id; only for the client-secret fallback"
    )
    dynamics_365_client_id: str = Field(
        default="", description="the app registration's client id; only for the client-secret fallback"
    )
    dynamics_365_client_secret: SecretStr = Field(
        default=SecretStr(""), description="its client secret; leave empty to sign in by managed identity"
    )
    dynamics_365_resource_url: ServiceUrl = Field(
        description="the organization's address, such as https://contoso.crm.dynamics.com"
    )
    dynamics_365_api_version: str = Field(
        default="9.2", pattern=r"^\d+\.\d+$", description="the Web API's version, such as 9.2"
    )
    dynamics_365_base_url: OptionalUrl = Field(
        default="", description="the Web API's root; empty means {RESOURCE_URL}/api/data/v{API_VERSION}"
    )
    dynamics_365_webhook_secret: SecretStr = Field(
        description=f"the webhook's shared secret, at least {SHORTEST_SECRET} characters"
    )
    dynamics_365_webhook_secret_previous: SecretStr = Field(
        default=SecretStr(""), description="the secret before the last rotation, while senders still use it"
    )
    dynamics_365_webhook_header: str = Field(
        default="x-webhook-key",
        pattern=r"^[A-Za-z0-9-]+$",
        description="the header in which a native webhook (HttpHeader) carries the secret: letters, digits, hyphens",
    )
    dynamics_365_organization_id: UUID | None = Field(
        default=None, description="the organization's GUID; empty means: ask Dynamics once (WhoAmI)"
    )
    cmms_base_url: OptionalUrl = Field(
        default="",
        description="the CMMS's address; empty means one-way: the messages' own values go to Dynamics",
    )
    cmms_token: SecretStr = Field(
        default=SecretStr(""), description="the token that the CMMS's integration API expects"
    )
    sync_ledger: str = Field(
        description="where the ledger lives: https://<account>.table.core.windows.net/<table>, or on one machine"
        " sqlite:///path/to/ledger.sqlite3",
    )
    sync_mapping: Path = Field(
        default=DOCUMENT_MAPPING, description="the mapping file; empty means the customer's document"
    )
    reconcile_schedule: str = Field(
        default="0 */15 * * * *", description="when drift is looked for: NCRONTAB with six fields, in UTC"
    )

    reconcile_settle_seconds: float = Field(
        default=120,
        ge=0,
        le=3600,
        description="for how many seconds after it was last touched a record may differ before it is drift: 0 to 3600",
    )
    reconcile_full_every: float = Field(
        default=24,
        ge=0,
        le=720,
        description="after how many hours everything is compared again, not only what changed: 0 (always) to 720",
    )
    reconcile_max_repairs: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="how many repairs one run may enqueue, the rest being left to the next runs: 1 to 1000000",
    )
    reconcile_mode: Literal["repair", "report"] = Field(
        default="repair", description="repair, or report: only tell what drifted"
    )
    report_location: str = Field(
        default="",
        description="where the reports of drift are kept: a folder, or a container such as"
        " https://<account>.blob.core.windows.net/reports; empty means nowhere",
    )
    report_retention_days: int = Field(
        default=30, ge=1, le=3650, description="for how many days a report is kept: 1 to 3650"
    )

    backup_location: str = Field(
        default="",
        description="where a backup of the ledger is kept each night: a folder, or a container such as"
        " https://<account>.blob.core.windows.net/backups; empty means nowhere",
    )

    @field_validator("dynamics_365_resource_url")
    @classmethod
    def _organization_root(cls, value: str) -> str:
        if "your-org" in value:
            raise ValueError("still names the document's example organization")
        if urlsplit(value).path:
            raise ValueError("must not have a path: the Web API's goes into DYNAMICS_365_BASE_URL")
        return value

    @field_validator("dynamics_365_webhook_secret", "dynamics_365_webhook_secret_previous")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < SHORTEST_SECRET:
            raise ValueError(f"is shorter than {SHORTEST_SECRET} characters")
        return value

    @field_validator(
        "dynamics_365_client_secret",
        "dynamics_365_webhook_secret",
        "dynamics_365_webhook_secret_previous",
        "cmms_token",
    )
    @classmethod
    def _no_stray_spaces(cls, value: SecretStr) -> SecretStr:
        secret = value.get_secret_value()
        if secret != secret.strip():
            raise ValueError("has spaces or a line end around it, as pasted secrets do")
        return value

    @field_validator("cmms_token")
    @classmethod
    def _fits_a_header(cls, value: SecretStr) -> SecretStr:
        token = value.get_secret_value()
        if not token.isascii() or not token.isprintable():
            raise ValueError("holds characters that an HTTP header cannot carry")
        return value

    @field_validator("sync_ledger")
    @classmethod
    def _known_ledger(cls, value: str) -> str:
        if value.startswith("sqlite:///") and value != "sqlite:///":
            return value
        if not value.startswith(("https://", "http://")):
            raise ValueError("must start with https://, or with sqlite:/// and name a file")
        value = _service_url(value)
        if not _TABLE.match(value.rpartition("/")[2]) or not urlsplit(value).path.strip("/"):
            raise ValueError("must end with a slash and a table's name: 3 to 63 letters and digits, a letter first")
        return value

    @field_validator("report_location", "backup_location")
    @classmethod
    def _folder_or_container(cls, value: str) -> str:
        if "://" not in value:
            return value
        value = _service_url(value)
        parts = urlsplit(value)
        if parts.scheme != "https":
            raise ValueError(
                "must start with https://, by which alone our identity is taken; on one machine name a folder"
            )
        if not _CONTAINER.match(parts.path.removeprefix("/")):
            raise ValueError("must end with a slash and a container's name, and nothing more")
        return value

    @field_validator("reconcile_schedule")
    @classmethod
    def _six_fields(cls, value: str) -> str:
        if not _SCHEDULE.match(value):
            raise ValueError("must have six fields: second, minute, hour, day, month, day of the week")
        return value

    @override
    def _problems(self) -> list[str]:
        problems = [
            f"{name} is missing: it must be set together with DYNAMICS_365_CLIENT_SECRET"
            for name, value in [
                ("DYNAMICS_365_TENANT_ID", self.dynamics_365_tenant_id),
                ("DYNAMICS_365_CLIENT_ID", self.dynamics_365_client_id),
            ]
            if self.dynamics_365_client_secret.get_secret_value() and not value
        ]
        problems += super()._problems()
        if self.cmms_base_url and not self.cmms_token.get_secret_value():
            problems.append("CMMS_TOKEN is missing: CMMS_BASE_URL needs it")
        return problems

    @property
    def web_api_url(self) -> str:
        """The Web API's root, without a slash at its end."""
        return (
            self.dynamics_365_base_url or f"{self.dynamics_365_resource_url}/api/data/v{self.dynamics_365_api_version}"
        )

    @property
    def reconcile_settle(self) -> timedelta:
        """How long after it was last touched a record may differ before it is drift."""
        return timedelta(seconds=self.reconcile_settle_seconds)

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """The live secrets, the current one first."""
        both = (self.dynamics_365_webhook_secret, self.dynamics_365_webhook_secret_previous)
        return tuple(text for secret in both if (text := secret.get_secret_value()))


def load_settings() -> Settings:
    """Read and validate the settings.

    Raises:
        ConfigurationError: Names each setting at fault, what it should look like, and where to set it.
    """
    return _load(Settings)


def load_bus_settings() -> BusSettings:
    """Read and validate the settings of the queues alone.

    Raises:
        ConfigurationError: As `load_settings`.
    """
    return _load(BusSettings)


def _load[T: BusSettings](kind: type[T]) -> T:
    try:
        return kind()
    except ValidationError as error:
        # The errors' inputs are left out on purpose: they may be secrets.
        raise ConfigurationError(
            "\n".join(_sentence(str(e["loc"][0]) if e["loc"] else "", e["type"], e["msg"]) for e in error.errors())
            + f"\nSet it as {WHERE}."
        ) from None


def setting_name(field: str) -> str:
    """The name under which a field of `Settings` is set."""
    alias = Settings.model_fields[field].validation_alias
    return alias if isinstance(alias, str) else field.upper()


def _sentence(location: str, kind: str, message: str) -> str:
    message = message.removeprefix("Value error, ")
    if not location:
        return f"{message}."
    for name, field in Settings.model_fields.items():
        if location in {name, field.validation_alias}:
            # The library's other texts may show a piece of what was given.
            problem = {"missing": "is missing", "value_error": message}.get(kind, "is malformed")
            return f"{setting_name(name)} {problem}: it should be {field.description}."
    return f"{location.upper()}: {message}."
