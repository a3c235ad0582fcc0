"""References to Key Vault, followed as the person who runs the command."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from azure.core.exceptions import ClientAuthenticationError
from typer.testing import CliRunner

import ops.session
from ops.app import app
from ops.vault import Reference, Vaults
from shared.errors import ConfigurationError, NotAuthorized, Unavailable

WEBHOOK = "@Microsoft.KeyVault(SecretUri=https://kv-sync.vault.azure.net/secrets/webhook)"
SECRET = "a-secret-that-nobody-should-see"


@dataclass
class Vault(httpx.BaseTransport):
    """A vault with secrets; whom it refuses it refuses with `refusal`."""

    secrets: dict[str, str] = field(default_factory=lambda: {"webhook": SECRET, "cmms-token": "a-token-of-the-cmms"})
    refusal: int | None = None
    asked: list[httpx.Request] = field(default_factory=list)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self.refusal is not None:
            return httpx.Response(self.refusal, json={"error": {"code": "Forbidden"}})
        name = request.url.path.split("/")[2]
        if name not in self.secrets:
            return httpx.Response(404, json={"error": {"code": "SecretNotFound"}})
        return httpx.Response(200, json={"value": self.secrets[name], "id": str(request.url)})


@dataclass
class Person:
    """Somebody who is signed in, or is not."""

    signed_in: bool = True
    scopes: list[str] = field(default_factory=list)

    def get_token(self, *scopes: str) -> Any:
        if not self.signed_in:
            raise ClientAuthenticationError("please run 'az login'")
        self.scopes.extend(scopes)
        return SimpleNamespace(token="a-bearer-token")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (WEBHOOK, Reference("kv-sync.vault.azure.net", "webhook")),
        (f" {WEBHOOK} ", Reference("kv-sync.vault.azure.net", "webhook")),
        (WEBHOOK.lower(), Reference("kv-sync.vault.azure.net", "webhook")),
        (
            "@Microsoft.KeyVault(SecretUri=https://kv-sync.vault.azure.net/secrets/webhook/0123abcd)",
            Reference("kv-sync.vault.azure.net", "webhook", "0123abcd"),
        ),
        (
            "@Microsoft.KeyVault(SecretUri=https://kv.vault.usgovcloudapi.net/secrets/webhook/)",
            Reference("kv.vault.usgovcloudapi.net", "webhook"),
        ),
        (
            "@Microsoft.KeyVault(VaultName=kv-sync;SecretName=webhook)",
            Reference("kv-sync.vault.azure.net", "webhook"),
        ),
        (
            "@Microsoft.KeyVault(VaultName=kv-sync; SecretName=webhook; SecretVersion=7)",
            Reference("kv-sync.vault.azure.net", "webhook", "7"),
        ),
        ("a-plain-secret", None),
        ("", None),
    ],
)
def test_both_forms_of_a_reference_are_read(value: str, expected: Reference | None) -> None:
    assert Reference.parse("SETTING", value) == expected


@pytest.mark.parametrize(
    "inside",
    [
        "SecretUri=https://evil.example/secrets/webhook",
        "SecretUri=https://kv-sync.vault.azure.net.evil.example/secrets/webhook",
        "SecretUri=http://kv-sync.vault.azure.net/secrets/webhook",
        "SecretUri=https://kv-sync.vault.azure.net@evil.example/secrets/webhook",
        "SecretUri=https://kv-sync.vault.azure.net/keys/webhook",
        "SecretUri=https://kv-sync.vault.azure.net:444/secrets/webhook",
        "VaultName=evil.example/;SecretName=webhook",
        "VaultName=kv-sync",
        "SecretName=webhook",
        "",
    ],
)
def test_a_token_is_sent_to_no_other_host_than_a_vaults(inside: str) -> None:
    vault, person = Vault(), Person()
    with pytest.raises(ConfigurationError, match="CMMS_TOKEN is no Key Vault reference"):
        Vaults(vault, person).resolve({"CMMS_TOKEN": f"@Microsoft.KeyVault({inside})"})
    assert (vault.asked, person.scopes) == ([], [])


def test_references_are_followed_and_other_settings_left_alone() -> None:
    vault, person = Vault(), Person()
    settings = {
        "DYNAMICS_365_WEBHOOK_SECRET": WEBHOOK,
        "CMMS_TOKEN": WEBHOOK.replace("webhook", "cmms-token"),
        "CMMS_BASE_URL": "https://cmms.example",
    }
    assert Vaults(vault, person).resolve(settings) == {
        "DYNAMICS_365_WEBHOOK_SECRET": SECRET,
        "CMMS_TOKEN": "a-token-of-the-cmms",
    }
    assert {request.headers["Authorization"] for request in vault.asked} == {"Bearer a-bearer-token"}
    assert person.scopes == ["https://vault.azure.net/.default"]


def test_another_cloud_is_asked_with_its_own_token() -> None:
    person = Person()
    Vaults(Vault(), person).resolve({"CMMS_TOKEN": WEBHOOK.replace("vault.azure.net", "vault.azure.cn")})
    assert person.scopes == ["https://vault.azure.cn/.default"]


@pytest.mark.parametrize(
    ("vault", "person", "error", "says"),
    [
        pytest.param(Vault(refusal=403), Person(), NotAuthorized, "OPERATORS_PRINCIPAL_ID", id="no operator"),
        pytest.param(Vault({}), Person(), ConfigurationError, "az keyvault secret set", id="no such secret"),
        pytest.param(Vault(refusal=503), Person(), Unavailable, "HTTP 503", id="ill"),
        pytest.param(Vault(), Person(signed_in=False), NotAuthorized, "az login", id="not signed in"),
    ],
)
def test_what_cannot_be_read_is_said_with_what_to_do(
    vault: Vault, person: Person, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as raised:
        Vaults(vault, person).resolve({"DYNAMICS_365_WEBHOOK_SECRET": WEBHOOK})
    assert "DYNAMICS_365_WEBHOOK_SECRET" in str(raised.value)
    assert "a-bearer-token" not in str(raised.value)


def test_a_vault_that_is_not_reached_is_said() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("gone", request=request)

    with pytest.raises(Unavailable, match="ADMINISTRATOR_CIDRS"):
        Vaults(httpx.MockTransport(refuse), Person()).resolve({"CMMS_TOKEN": WEBHOOK})


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `az functionapp config appsettings list` prints of an installation."""
    values = {
        "DYNAMICS_365_RESOURCE_URL": "http://127.0.0.1:9",
        "DYNAMICS_365_WEBHOOK_SECRET": WEBHOOK,
        "DYNAMICS_365_CLIENT_SECRET": "not-used",
        "DYNAMICS_365_CLIENT_ID": "c",
        "DYNAMICS_365_TENANT_ID": "t",
        "SYNC_LEDGER": "sqlite:///:memory:",
        "ServiceBusConnection": "Endpoint=sb://localhost:9;SharedAccessKeyName=x;SharedAccessKey=x;"
        "UseDevelopmentEmulator=true;",
    }
    for name in values:
        monkeypatch.setenv(name, "")
    path = tmp_path / "app.json"
    path.write_text(json.dumps([{"name": name, "value": value} for name, value in values.items()]), encoding="utf-8")
    return path


def test_a_command_reads_the_secrets_that_its_settings_name(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = Vault()
    monkeypatch.setattr(ops.session, "Vaults", lambda: Vaults(vault, Person()))
    result = CliRunner().invoke(app, ["check", "--settings", str(exported), "--json"])
    # Nobody answers at the other addresses: that is as far as this goes, and no secret is shown on the way.
    assert result.exit_code == 3
    assert [request.url.path for request in vault.asked] == ["/secrets/webhook"]
    assert SECRET not in result.output


def test_check_takes_a_secret_that_does_not_exist_for_a_finding(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops.session, "Vaults", lambda: Vaults(Vault({}), Person()))
    result = CliRunner().invoke(app, ["check", "--settings", str(exported), "--json"])
    (finding,) = json.loads(result.stdout)["findings"]
    assert (result.exit_code, finding["area"]) == (1, "settings")
    assert "the secret webhook of the vault kv-sync.vault.azure.net does not exist" in finding["message"]
