"""Settings, read once per worker from the environment (application settings in Azure)."""

from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Final, Self
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


def _loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return host is not None and ip_address(host).is_loopback
    except ValueError:
        return False


def _service_url(value: str) -> str:
    if not value:
        return value
    parts = urlsplit(value)
    if parts.scheme != "https" and not (parts.scheme == "http" and _loopback(parts.hostname)):
        raise ValueError("must start with https:// (http:// is accepted on this machine's loopback only)")
    if not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("must be a plain address: no user, query or fragment")
    return value.rstrip("/")


type ServiceUrl = Annotated[str, AfterValidator(_service_url)]


class Settings(BaseSettings):
    """What the functions need to know. Every field's description says what the value looks like."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, populate_by_name=True)

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
    dynamics_365_base_url: ServiceUrl = Field(
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
        description="the header in which a native webhook (HttpHeader) carries the secret",
    )
    dynamics_365_organization_id: UUID | None = Field(
        default=None, description="the organization's GUID; empty means: ask Dynamics once (WhoAmI)"
    )
    azure_client_id: str = Field(
        default="",
        description="the user-assigned managed identity's client id; empty for a system-assigned one",
    )
    cmms_base_url: ServiceUrl = Field(
        default="",
        description="the CMMS's address; empty means one-way: the messages' own values go to Dynamics",
    )
    cmms_token: SecretStr = Field(
        default=SecretStr(""), description="the token that the CMMS's integration API expects"
    )
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
    sync_ledger: str = Field(
        description="where the ledger lives: sqlite:///path/to/ledger.sqlite3",
    )
    sync_mapping: Path = Field(
        default=DOCUMENT_MAPPING, description="the mapping file; empty means the customer's document"
    )
    reconcile_schedule: str = Field(
        default="0 */15 * * * *", description="when drift is looked for: NCRONTAB with six fields, in UTC"
    )

    reconcile_settle_seconds: float = Field(
        default=120, ge=0, le=3600, description="how long after its last sync a record may differ before it is drift"
    )

    @field_validator("dynamics_365_resource_url")
    @classmethod
    def _not_the_placeholder(cls, value: str) -> str:
        if "your-org" in value:
            raise ValueError("still names the document's example organization")
        return value

    @field_validator(
        "dynamics_365_client_secret",
        "dynamics_365_webhook_secret",
        "dynamics_365_webhook_secret_previous",
        "cmms_token",
    )
    @classmethod
    def _resolved(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value().lower().startswith(UNRESOLVED):
            raise ValueError("is a Key Vault reference that Azure did not resolve: check the vault's access")
        return value

    @field_validator("dynamics_365_webhook_secret", "dynamics_365_webhook_secret_previous")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < SHORTEST_SECRET:
            raise ValueError(f"is shorter than {SHORTEST_SECRET} characters")
        return value

    @field_validator("sync_ledger")
    @classmethod
    def _known_ledger(cls, value: str) -> str:
        if not value.startswith("sqlite:///"):
            raise ValueError("must start with sqlite:///")
        return value

    @field_validator("dynamics_365_organization_id", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("sync_mapping", mode="before")
    @classmethod
    def _empty_is_document(cls, value: object) -> object:
        return DOCUMENT_MAPPING if value == "" else value

    @model_validator(mode="after")
    def _together(self) -> Self:
        three = {
            "DYNAMICS_365_TENANT_ID": self.dynamics_365_tenant_id,
            "DYNAMICS_365_CLIENT_ID": self.dynamics_365_client_id,
            "DYNAMICS_365_CLIENT_SECRET": self.dynamics_365_client_secret.get_secret_value(),
        }
        missing = [name for name, value in three.items() if not value]
        if missing and three["DYNAMICS_365_CLIENT_SECRET"]:
            raise ValueError(f"{' and '.join(missing)} must be set together with DYNAMICS_365_CLIENT_SECRET")
        if not self.dynamics_365_webhook_secret.get_secret_value():
            raise ValueError("DYNAMICS_365_WEBHOOK_SECRET is empty")
        if not self.service_bus_connection.get_secret_value() and not self.service_bus_namespace:
            raise ValueError(
                "ServiceBusConnection__fullyQualifiedNamespace is missing (the namespace's host name,"
                " such as contoso.servicebus.windows.net)"
            )
        if self.cmms_base_url and not self.cmms_token.get_secret_value():
            raise ValueError("CMMS_TOKEN is missing: CMMS_BASE_URL needs it")
        return self

    @property
    def web_api_url(self) -> str:
        """The Web API's root, without a slash at its end."""
        return (
            self.dynamics_365_base_url or f"{self.dynamics_365_resource_url}/api/data/v{self.dynamics_365_api_version}"
        )

    @property
    def reconcile_settle(self) -> timedelta:
        """How long after its last sync a record may differ before it is drift."""
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
    try:
        return Settings()
    except ValidationError as error:
        # The errors' inputs are left out on purpose: they may be secrets.
        raise ConfigurationError(
            "\n".join(_sentence(str(e["loc"][0]) if e["loc"] else "", e["type"], e["msg"]) for e in error.errors())
            + f"\nSet it as {WHERE}."
        ) from None


def _sentence(location: str, kind: str, message: str) -> str:
    message = message.removeprefix("Value error, ")
    if not location:
        return f"{message}."
    for name, field in Settings.model_fields.items():
        if location in {name, field.validation_alias}:
            shown = field.validation_alias if isinstance(field.validation_alias, str) else name.upper()
            problem = "is missing" if kind == "missing" else message
            return f"{shown} {problem}: it should be {field.description}."
    return f"{location.upper()}: {message}."
