import re
from typing import Any

from shared.settings import Settings
from tests.infra import rules
from tests.infra.bicep import FULL, SMALL, Resource, of_type, one

# Settings of the host, the worker and the exporter, which shared/settings.py does not read.
PLATFORM = {
    *(f"AzureWebJobsStorage__{name}" for name in ("accountName", "credential", "clientId")),
    *(f"ServiceBusConnection__{name}" for name in ("credential", "clientId")),
    *("APPLICATIONINSIGHTS_CONNECTION_STRING", "APPLICATIONINSIGHTS_AUTHENTICATION_STRING"),
    *("PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"),
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS",
}
# A connection string would be a key: it is for one machine only.
LOCAL_ONLY = {"ServiceBusConnection"}


def settings_of(resources: list[Resource]) -> dict[str, Any]:
    return dict(one(resources, "Microsoft.Web/sites/config", "appsettings")["properties"])


def test_a_small_installation_breaks_no_rule(small: list[Resource]) -> None:
    assert rules.violations(small, rules.APP_GRANTS) == []


def test_a_full_installation_breaks_no_rule(full: list[Resource]) -> None:
    assert rules.violations(full, rules.APP_GRANTS | rules.OTHER_GRANTS) == []


def test_the_app_gets_every_setting_that_the_code_reads_and_no_other(resources: list[Resource]) -> None:
    read = {str(field.validation_alias or name.upper()) for name, field in Settings.model_fields.items()}
    assert settings_of(resources).keys() - PLATFORM == read - LOCAL_ONLY
    assert settings_of(resources).keys() >= PLATFORM


def test_the_functions_accept_the_settings_that_they_are_given(resources: list[Resource]) -> None:
    given = settings_of(resources)
    # What only Azure knows, as Azure would fill it in.
    given |= {
        "SYNC_LEDGER": "https://account.table.core.windows.net/ledger",
        "REPORT_LOCATION": "https://account.blob.core.windows.net/reports",
        "ServiceBusConnection__fullyQualifiedNamespace": "namespace.servicebus.windows.net",
        "AZURE_CLIENT_ID": "77777777-7777-7777-7777-777777777777",
        **{name: "a-secret-of-some-length" for name, value in given.items() if "@Microsoft.KeyVault(" in str(value)},
    }
    fields = {str(field.validation_alias or name.upper()): name for name, field in Settings.model_fields.items()}
    settings = Settings(**{fields[name]: value for name, value in given.items() if name in fields and value != ""})
    assert settings.dynamics_365_resource_url in {SMALL["DYNAMICS_365_RESOURCE_URL"], FULL["DYNAMICS_365_RESOURCE_URL"]}


def test_addresses_of_the_ledger_and_the_reports_name_what_is_deployed(resources: list[Resource]) -> None:
    given = settings_of(resources)
    account = one(resources, "Microsoft.Storage/storageAccounts")["name"]
    for setting, kind, name in (("SYNC_LEDGER", "tables", "ledger"), ("REPORT_LOCATION", "containers", "reports")):
        assert account in given[setting]
        assert f"/{name}" in given[setting]
        assert [r for r in resources if r["type"].endswith(f"/{kind}") and r["name"].endswith(f"/{name}")]


def test_secrets_are_referred_to_only_where_they_are_needed(small: list[Resource], full: list[Resource]) -> None:
    def referred(resources: list[Resource]) -> set[str]:
        found = (
            re.search(r"@Microsoft\.KeyVault\(SecretUri=\S*?/([a-z-]+)\)", str(v))
            for v in settings_of(resources).values()
        )
        return {match[1] for match in found if match}

    assert referred(small) == {"webhook"}
    assert referred(full) == {"webhook", "webhook-previous", "dynamics-client", "cmms-token"}


def test_the_app_runs_on_flex_consumption_with_its_own_identity_only(resources: list[Resource]) -> None:
    plan, app = one(resources, "Microsoft.Web/serverfarms"), one(resources, "Microsoft.Web/sites")
    assert plan["sku"]["name"] == "FC1"
    config = app["properties"]["functionAppConfig"]
    assert config["runtime"] == {"name": "python", "version": "3.13"}
    assert config["deployment"]["storage"]["authentication"]["type"] == "UserAssignedIdentity"
    assert app["identity"]["type"] == "UserAssigned"
    assert app["tags"]["azd-service-name"] == "api"
    assert list(app["identity"]["userAssignedIdentities"]) == [app["properties"]["keyVaultReferenceIdentity"]]


def test_no_name_depends_on_what_only_azure_knows(resources: list[Resource]) -> None:
    assert [resource["name"] for resource in resources if "[" in resource["name"]] == []
    ids = [resource["id"] for resource in resources]
    assert len(ids) == len(set(ids))


def test_callers_can_be_narrowed_by_service_tag(small: list[Resource], full: list[Resource]) -> None:
    def site(resources: list[Resource]) -> dict[str, Any]:
        return dict(one(resources, "Microsoft.Web/sites")["properties"]["siteConfig"])

    assert (site(small)["ipSecurityRestrictions"], site(small)["ipSecurityRestrictionsDefaultAction"]) == ([], "Allow")
    assert [rule["ipAddress"] for rule in site(full)["ipSecurityRestrictions"]] == ["AzureCloud"]
    assert site(full)["ipSecurityRestrictionsDefaultAction"] == "Deny"


def test_an_interval_that_is_hours_makes_a_schedule_of_hours(small: list[Resource], full: list[Resource]) -> None:
    assert settings_of(small)["RECONCILE_SCHEDULE"] == "0 */15 * * * *"
    assert settings_of(full)["RECONCILE_SCHEDULE"] == "0 0 */2 * * *"


def test_people_are_called_only_where_there_is_an_address(small: list[Resource], full: list[Resource]) -> None:
    assert of_type(small, "Microsoft.Insights/actionGroups") == []
    assert len(of_type(full, "Microsoft.Insights/actionGroups")) == 1
    for rule in of_type(full, "Microsoft.Insights/metricAlerts"):
        assert len(rule["properties"]["actions"]) == 1
    for rule in of_type(full, "Microsoft.Insights/scheduledQueryRules"):
        assert len(rule["properties"]["actions"]["actionGroups"]) == 1
