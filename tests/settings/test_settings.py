"""What a worker is told about its settings: which one, what it should look like, where to set it. Never a secret."""

import os
from datetime import timedelta
from uuid import UUID

import pytest
from pydantic import SecretStr

from shared.errors import ConfigurationError
from shared.settings import WHERE, Settings, load_settings, setting_name
from tests.fakes import make_settings

SECRET = "s3cr3t-that-nobody-may-see"
COMPLETE = {
    "DYNAMICS_365_RESOURCE_URL": "https://contoso.crm.dynamics.com",
    "DYNAMICS_365_WEBHOOK_SECRET": SECRET,
    "ServiceBusConnection__fullyQualifiedNamespace": "contoso.servicebus.windows.net",
    "SYNC_LEDGER": "sqlite:///ledger.sqlite3",
}
SECRETS = [name for name, field in Settings.model_fields.items() if field.annotation is SecretStr]
VAULT = "@Microsoft.KeyVault(SecretUri=https://contoso.vault.azure.net/secrets/s3cr3t)"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A complete environment and nothing else that the product reads."""
    names = {setting_name(field).lower() for field in Settings.model_fields}
    for name in list(os.environ):
        if name.lower() in names:
            monkeypatch.delenv(name)
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def refusal() -> str:
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert WHERE in refused.value.message
    assert "s3cr3t" not in refused.value.message
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
    return refused.value.message


def test_the_four_needed_settings_are_enough() -> None:
    settings = load_settings()
    assert settings.web_api_url == "https://contoso.crm.dynamics.com/api/data/v9.2"
    assert settings.webhook_secrets == (SECRET,)
    assert settings.reconcile_settle == timedelta(seconds=120)
    assert settings.dynamics_365_organization_id is None


@pytest.mark.parametrize("name", COMPLETE)
@pytest.mark.parametrize("how", ["unset", "empty"])
def test_a_missing_setting_is_named_with_what_it_should_be(
    environment: pytest.MonkeyPatch, name: str, how: str
) -> None:
    if how == "unset":
        environment.delenv(name)
    else:
        environment.setenv(name, "")
    assert f"{name} is missing: it should be " in refusal()


def test_every_problem_is_told_at_once(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("DYNAMICS_365_RESOURCE_URL")
    environment.delenv("SYNC_LEDGER")
    environment.setenv("RECONCILE_SCHEDULE", "hourly")
    names = [line.split()[0] for line in refusal().splitlines()[:-1]]
    assert names == ["DYNAMICS_365_RESOURCE_URL", "SYNC_LEDGER", "RECONCILE_SCHEDULE"]


MALFORMED = [
    ("DYNAMICS_365_RESOURCE_URL", "https://your-org.crm.dynamics.com", "example organization"),
    ("DYNAMICS_365_RESOURCE_URL", "http://contoso.crm.dynamics.com", "https://"),
    ("DYNAMICS_365_RESOURCE_URL", "contoso.crm.dynamics.com", "https://"),
    ("DYNAMICS_365_RESOURCE_URL", "https://", "a host"),
    ("DYNAMICS_365_RESOURCE_URL", "https://me:s3cr3t@contoso.crm.dynamics.com", "no user"),
    ("DYNAMICS_365_RESOURCE_URL", "https://contoso.crm.dynamics.com?s3cr3t", "query"),
    ("DYNAMICS_365_RESOURCE_URL", "https://contoso.crm.dynamics.com/api", "path"),
    ("DYNAMICS_365_RESOURCE_URL", "https://contoso:s3cr3t", "host and perhaps a port"),
    ("DYNAMICS_365_RESOURCE_URL", "https://[s3cr3t", "host and perhaps a port"),
    ("DYNAMICS_365_RESOURCE_URL", "https://contoso .com", "characters"),
    ("DYNAMICS_365_BASE_URL", "ftp://contoso", "https://"),
    ("CMMS_BASE_URL", "http://cmms.example", "https://"),
    ("CMMS_BASE_URL", "http://127.0.0.1.example", "https://"),
    ("DYNAMICS_365_API_VERSION", "v9", "such as 9.2"),
    ("DYNAMICS_365_WEBHOOK_SECRET", "s3cr3t", "16 characters"),
    ("DYNAMICS_365_WEBHOOK_SECRET", f" {SECRET}", "spaces"),
    ("DYNAMICS_365_WEBHOOK_SECRET", f"{SECRET}\n", "line end"),
    ("DYNAMICS_365_WEBHOOK_SECRET_PREVIOUS", "s3cr3t", "16 characters"),
    ("DYNAMICS_365_WEBHOOK_HEADER", "x key", "header"),
    ("DYNAMICS_365_ORGANIZATION_ID", "s3cr3t", "GUID"),
    ("CMMS_TOKEN", "s3cr3t-ñ", "header"),
    ("ServiceBusConnection__fullyQualifiedNamespace", "sb://contoso.servicebus.windows.net", "bare host name"),
    ("ServiceBusConnection__fullyQualifiedNamespace", "contoso.servicebus.windows.net/", "bare host name"),
    ("REPORT_LOCATION", "http://127.0.0.1:10000/reports", "https://"),
    ("REPORT_LOCATION", "https://contoso.blob.core.windows.net", "container's name"),
    ("REPORT_LOCATION", "https://contoso.blob.core.windows.net/reports/daily", "container's name"),
    ("REPORT_LOCATION", "https://contoso.blob.core.windows.net/Reports", "container's name"),
    ("SYNC_LEDGER", "ledger.sqlite3", "sqlite:///"),
    ("SYNC_LEDGER", "sqlite:///", "sqlite:///"),
    ("SYNC_LEDGER", "http://contoso.table.core.windows.net/ledger", "https://"),
    ("RECONCILE_SCHEDULE", "*/15 * * * *", "six fields"),
    ("RECONCILE_SETTLE_SECONDS", "soon", "seconds"),
    ("RECONCILE_SETTLE_SECONDS", "-1", "0 to 3600"),
    ("RECONCILE_SETTLE_SECONDS", "3601", "0 to 3600"),
]


@pytest.mark.parametrize(("name", "value", "says"), MALFORMED)
def test_a_malformed_setting_is_named_with_what_it_should_be(
    environment: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    environment.setenv(name, value)
    message = refusal()
    assert message.startswith(f"{name} ")
    assert "it should be " in message
    assert says in message


@pytest.mark.parametrize(
    ("name", "value"),
    [("DYNAMICS_365_ORGANIZATION_ID", "~s3cr3t"), ("DYNAMICS_365_API_VERSION", "~"), ("RECONCILE_SETTLE_SECONDS", "~")],
)
def test_the_librarys_own_words_which_show_pieces_of_values_are_not_passed_on(
    environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    environment.setenv(name, value)
    message = refusal()
    assert message.startswith(f"{name} is malformed: it should be ")
    assert "~" not in message


@pytest.mark.parametrize("field", Settings.model_fields)
def test_an_unresolved_key_vault_reference_is_refused_as_any_setting(
    environment: pytest.MonkeyPatch, field: str
) -> None:
    name = setting_name(field)
    for reference in (VAULT, f" {VAULT.lower()}"):
        environment.setenv(name, reference)
        assert f"{name} is a Key Vault reference that Azure did not resolve" in refusal()


@pytest.mark.parametrize("missing", ["DYNAMICS_365_TENANT_ID", "DYNAMICS_365_CLIENT_ID"])
def test_the_documents_client_secret_needs_its_tenant_and_client(environment: pytest.MonkeyPatch, missing: str) -> None:
    for name in ("DYNAMICS_365_TENANT_ID", "DYNAMICS_365_CLIENT_ID"):
        environment.setenv(name, "00000000-0000-4000-8000-000000000001")
    environment.setenv("DYNAMICS_365_CLIENT_SECRET", SECRET)
    assert load_settings().dynamics_365_client_secret.get_secret_value() == SECRET
    environment.delenv(missing)
    assert f"{missing} is missing: it must be set together with DYNAMICS_365_CLIENT_SECRET" in refusal()


def test_a_tenant_without_a_client_secret_is_no_problem(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DYNAMICS_365_TENANT_ID", "contoso.com")
    assert load_settings().dynamics_365_tenant_id == "contoso.com"


def test_the_cmms_needs_its_token(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("CMMS_BASE_URL", "https://cmms.example/")
    assert "CMMS_TOKEN is missing" in refusal()
    environment.setenv("CMMS_TOKEN", SECRET)
    assert load_settings().cmms_base_url == "https://cmms.example"


def test_a_connection_string_stands_in_for_the_namespace(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("ServiceBusConnection__fullyQualifiedNamespace")
    environment.setenv("ServiceBusConnection", "Endpoint=sb://localhost;SharedAccessKeyName=k;SharedAccessKey=k")
    assert load_settings().service_bus_namespace == ""


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_http_is_accepted_on_the_loopback_only(environment: pytest.MonkeyPatch, host: str) -> None:
    environment.setenv("DYNAMICS_365_RESOURCE_URL", f"http://{host}:7072/")
    assert load_settings().dynamics_365_resource_url == f"http://{host}:7072"


def test_the_web_apis_root_can_be_set_apart(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DYNAMICS_365_API_VERSION", "9.1")
    assert load_settings().web_api_url.endswith("/api/data/v9.1")
    environment.setenv("DYNAMICS_365_BASE_URL", "https://proxy.example/dynamics/")
    assert load_settings().web_api_url == "https://proxy.example/dynamics"


def test_an_organization_id_is_read(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DYNAMICS_365_ORGANIZATION_ID", "0f7c1d2e-3b4a-4c5d-8e9f-001122334455")
    assert load_settings().dynamics_365_organization_id == UUID("0f7c1d2e-3b4a-4c5d-8e9f-001122334455")


def test_both_secrets_are_live_during_a_rotation_the_current_one_first(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DYNAMICS_365_WEBHOOK_SECRET_PREVIOUS", "the-one-before-that-one")
    assert load_settings().webhook_secrets == (SECRET, "the-one-before-that-one")


def test_no_secret_shows_in_the_settings_themselves() -> None:
    settings = make_settings(**dict.fromkeys(SECRETS, SECRET), dynamics_365_tenant_id="t", dynamics_365_client_id="c")
    assert len(SECRETS) == 5
    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert SECRET not in shown


def test_every_setting_says_what_it_looks_like() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
