"""Key Vault references in settings, read as the person who runs the command: nobody copies a secret into a file.

The function app's settings name secrets, they hold none: `@Microsoft.KeyVault(SecretUri=https://VAULT/secrets/NAME)`.
https://learn.microsoft.com/azure/app-service/app-service-key-vault-references
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Protocol, Self
from urllib.parse import quote

import httpx

from shared.errors import ConfigurationError, NotAuthorized, Unavailable

CLOUDS: Final = ("vault.azure.net", "vault.usgovcloudapi.net", "vault.azure.cn")
"""Where key vaults are. A token is sent to no other host, whatever a settings file names."""

API: Final = "7.4"
_SECONDS: Final = 30.0
_REFERENCE: Final = re.compile(r"@Microsoft\.KeyVault\((?P<inside>.*)\)", re.IGNORECASE)
_ADDRESS: Final = re.compile(
    r"https://(?P<host>[a-z0-9-]+\.[a-z.]+)/secrets/(?P<name>[A-Za-z0-9-]+)(?:/(?P<version>\w*))?/?\Z"
)
_NAME: Final = re.compile(r"[A-Za-z0-9-]+\Z")


class Credential(Protocol):
    """Whoever signs in, as azure-identity's credentials do."""

    def get_token(self, *scopes: str) -> "Token":
        """A token for these scopes."""


class Token(Protocol):
    """A token, as azure-core has it."""

    @property
    def token(self) -> str:
        """What goes into the header."""


@dataclass(frozen=True)
class Reference:
    """One secret of one vault, such as `kv-sync.vault.azure.net`, `webhook`, and `""` for its newest version."""

    host: str
    name: str
    version: str = ""

    @classmethod
    def parse(cls, setting: str, value: str) -> Self | None:
        """Read a setting's value in either of the two forms that App Service knows.

        Returns:
            The reference, or None where the value is none.

        Raises:
            ConfigurationError: The value is a reference, but not to a secret of a vault in one of Azure's clouds.
        """
        match = _REFERENCE.fullmatch(value.strip())
        if match is None:
            return None
        parts = {
            name.strip().lower(): text.strip()
            for name, _, text in (part.partition("=") for part in match["inside"].split(";"))
        }
        address = _ADDRESS.match(parts.get("secreturi", ""))
        if address is not None:
            found = cls(address["host"].lower(), address["name"], address["version"] or "")
        else:
            # The short form names no cloud: App Service takes its own.
            found = cls(
                f"{parts.get('vaultname', '')}.{CLOUDS[0]}".lower(),
                parts.get("secretname", ""),
                parts.get("secretversion", ""),
            )
        vault, _, cloud = found.host.partition(".")
        if cloud not in CLOUDS or not _NAME.match(vault) or not _NAME.match(found.name):
            raise ConfigurationError(
                f"{setting} is no Key Vault reference that can be followed: it should be"
                " @Microsoft.KeyVault(SecretUri=https://VAULT.vault.azure.net/secrets/NAME)."
            )
        return found

    @property
    def scope(self) -> str:
        """For what a token is asked."""
        return f"https://{self.host.partition('.')[2]}/.default"


@dataclass
class Vaults:
    """Reads secrets. `transport` and `credential` stand in for the network and for azure-identity in tests."""

    transport: httpx.BaseTransport | None = None
    credential: Credential | None = None
    _tokens: dict[str, str] = field(default_factory=dict)

    def resolve(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Follow every reference among the settings.

        Returns:
            The settings that were references, with their secrets.

        Raises:
            ConfigurationError: A reference cannot be followed, or its secret does not exist.
            NotAuthorized: You may not read a secret, or are not signed in.
            Unavailable: A vault cannot be reached.
        """
        references = {name: Reference.parse(name, value) for name, value in settings.items()}
        return {name: self._read(name, found) for name, found in references.items() if found is not None}

    def _read(self, setting: str, reference: Reference) -> str:
        where = f"the secret {reference.name} of the vault {reference.host}"
        path = "/".join(quote(part) for part in ("secrets", reference.name, reference.version) if part)
        try:
            with httpx.Client(transport=self.transport, timeout=_SECONDS) as client:
                answer = client.get(
                    f"https://{reference.host}/{path}",
                    params={"api-version": API},
                    headers={"Authorization": f"Bearer {self._token(setting, reference)}"},
                )
        except httpx.HTTPError as error:
            raise Unavailable(
                f"{setting}: {where} cannot be reached ({type(error).__name__}). Does the vault exist, and may this"
                " address reach it (ADMINISTRATOR_CIDRS of a private installation)?"
            ) from error
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise ConfigurationError(
                f"{setting}: {where} does not exist. Set it: az keyvault secret set --vault-name"
                f" {reference.host.partition('.')[0]} --name {reference.name} --file FILE --encoding utf-8."
            )
        if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise NotAuthorized(
                f"{setting}: you may not read {where}. You must be one of its operators (OPERATORS_PRINCIPAL_ID of the"
                " deployment), and your address must be allowed (ADMINISTRATOR_CIDRS of a private installation).",
                status=answer.status_code,
            )
        try:
            return str(answer.raise_for_status().json()["value"])
        except (httpx.HTTPStatusError, ValueError, KeyError, TypeError):
            raise Unavailable(f"{setting}: {where} cannot be read: HTTP {answer.status_code}.") from None

    def _token(self, setting: str, reference: Reference) -> str:
        if reference.scope not in self._tokens:
            from azure.core.exceptions import AzureError  # noqa: PLC0415  # slow to import

            try:
                self._tokens[reference.scope] = self._identity.get_token(reference.scope).token
            except AzureError as error:
                raise NotAuthorized(
                    f"{setting} is a Key Vault reference, and you are not signed in to Azure"
                    f" ({type(error).__name__}): 'az login'."
                ) from error
        return self._tokens[reference.scope]

    @cached_property
    def _identity(self) -> Credential:
        if self.credential is not None:
            return self.credential
        from azure.identity import DefaultAzureCredential  # noqa: PLC0415  # slow to import

        return DefaultAzureCredential()
