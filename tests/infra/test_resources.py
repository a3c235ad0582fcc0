import re
from typing import Any

import pytest

from shared.settings import Settings
from tests.infra import bicep, network, rules, values, watching
from tests.infra.bicep import Resource, of_type, one
from tests.infra.rules import Rule

ALWAYS: tuple[Rule, ...] = (rules.no_keys, rules.encrypted, rules.secrets_kept, rules.kept, rules.queues_of_the_code)
PUBLIC_CLOUD: tuple[Rule, ...] = (values.platform_settings, values.compute, values.scale, values.tiers)
CHECKED: dict[str, tuple[Rule, ...]] = {
    "small": (*ALWAYS, *PUBLIC_CLOUD, watching.metric_alerts, watching.log_alerts, watching.availability),
    "full": (
        *ALWAYS,
        *PUBLIC_CLOUD,
        watching.metric_alerts,
        watching.availability,
        watching.calls_people,
        values.callers,
    ),
    "private": (
        *(
            *ALWAYS,
            *PUBLIC_CLOUD,
            watching.metric_alerts,
            watching.log_alerts,
            watching.availability,
            watching.calls_people,
        ),
        *(network.closed, network.reached_privately),
    ),
    "given": ALWAYS,
}
GRANTS = {
    "small": rules.APP_GRANTS,
    "full": rules.APP_GRANTS | rules.SCALER_GRANTS | rules.CMMS_GRANTS | rules.OPERATOR_GRANTS,
    "private": rules.APP_GRANTS | rules.OPERATOR_GRANTS,
    "given": {grant for grant in rules.APP_GRANTS if "azure-webjobs" not in grant[2]}
    | {("app", "Storage Blob Data Owner", "storageAccounts")}
    | rules.OPERATOR_GRANTS,
}
# Settings of the host, the worker, the SDKs and the exporter, which shared/settings.py does not read.
PLATFORM = {
    *values.PLATFORM,
    *("AzureWebJobsStorage__blobServiceUri", "AzureWebJobsStorage__clientId", "ServiceBusConnection__clientId"),
    *("APPLICATIONINSIGHTS_CONNECTION_STRING", "APPLICATIONINSIGHTS_AUTHENTICATION_STRING", "AZURE_AUTHORITY_HOST"),
}
# A connection string would be a key: it is for one machine only.
LOCAL_ONLY = {"ServiceBusConnection"}


def settings_of(resources: list[Resource]) -> dict[str, Any]:
    return dict(one(resources, "Microsoft.Web/sites/config", "appsettings")["properties"])


@pytest.mark.parametrize(
    ("name", "rule"), [pytest.param(n, r, id=f"{n}-{r.__name__}") for n, found in CHECKED.items() for r in found]
)
def test_an_installation_breaks_no_rule(request: pytest.FixtureRequest, name: str, rule: Rule) -> None:
    assert list(rule(request.getfixturevalue(name))) == []


@pytest.mark.parametrize("name", GRANTS)
def test_an_installation_grants_what_is_listed(request: pytest.FixtureRequest, name: str) -> None:
    assert list(rules.granted(request.getfixturevalue(name), GRANTS[name])) == []


def test_the_app_gets_every_setting_that_the_code_reads_and_no_other(resources: list[Resource]) -> None:
    read = {str(field.validation_alias or name.upper()) for name, field in Settings.model_fields.items()}
    assert settings_of(resources).keys() - PLATFORM == read - LOCAL_ONLY
    assert settings_of(resources).keys() >= PLATFORM


def test_the_functions_accept_the_settings_that_they_are_given(resources: list[Resource]) -> None:
    given = settings_of(resources)
    # What only Azure knows, as Azure would fill it in.
    given |= {
        "AZURE_CLIENT_ID": "77777777-7777-7777-7777-777777777777",
        **{name: "a-secret-of-some-length" for name, value in given.items() if "@Microsoft.KeyVault(" in str(value)},
    }
    fields = {str(field.validation_alias or name.upper()): name for name, field in Settings.model_fields.items()}
    settings = Settings(**{fields[name]: value for name, value in given.items() if name in fields and value != ""})
    assert settings.dynamics_365_resource_url in {
        env["DYNAMICS_365_RESOURCE_URL"] for env in (bicep.SMALL, bicep.FULL, bicep.PRIVATE, bicep.GIVEN)
    }


def test_secrets_are_referred_to_only_where_they_are_needed(
    small: list[Resource], full: list[Resource], given: list[Resource]
) -> None:
    def referred(resources: list[Resource]) -> set[str]:
        found = (
            re.fullmatch(r"@Microsoft\.KeyVault\(SecretUri=https://([\w.-]+)/secrets/([a-z-]+)\)", str(v))
            for v in settings_of(resources).values()
        )
        matches = [match for match in found if match]
        vault = [v["name"] for v in of_type(resources, "Microsoft.KeyVault/vaults")] or ["kv-hub"]
        assert {match[1].partition(".")[0] for match in matches} == set(vault)
        return {match[2] for match in matches}

    assert referred(small) == {"webhook"}
    assert referred(full) == {"webhook", "webhook-previous", "dynamics-client", "cmms-token"}
    assert referred(given) == {"webhook"}


def test_no_name_but_a_role_assignments_depends_on_what_only_azure_knows(resources: list[Resource]) -> None:
    others = [r for r in resources if r["type"] != "Microsoft.Authorization/roleAssignments"]
    assert [resource["name"] for resource in others if "[" in resource["name"]] == []
    ids = [resource["id"] for resource in resources]
    assert len(ids) == len(set(ids))


def test_names_fit_their_limits(resources: list[Resource]) -> None:
    longest = {
        "Microsoft.KeyVault/vaults": 24,
        "Microsoft.Storage/storageAccounts": 24,
        "Microsoft.ServiceBus/namespaces": 50,
        "Microsoft.Web/sites": 60,
        "Microsoft.OperationalInsights/workspaces": 63,
    }
    for kind, limit in longest.items():
        assert all(len(resource["name"]) <= limit for resource in of_type(resources, kind)), kind


def test_every_resource_that_can_has_the_tags(full: list[Resource]) -> None:
    tagged = [resource for resource in full if "tags" in resource]
    assert len(tagged) > 15
    for resource in tagged:
        # Tags with what only Azure knows stay an expression.
        text = str(resource["tags"])
        assert "energy-full" in text, resource["name"]
        assert "cost-center" in text, resource["name"]
        assert "4711" in text, resource["name"]


def test_scale_and_zones_are_what_is_asked_for(small: list[Resource], full: list[Resource]) -> None:
    def of(resources: list[Resource]) -> tuple[bool, list[dict[str, Any]]]:
        config = one(resources, "Microsoft.Web/sites")["properties"]["functionAppConfig"]["scaleAndConcurrency"]
        plan = one(resources, "Microsoft.Web/serverfarms")["properties"]
        return plan["zoneRedundant"], config["alwaysReady"]

    assert of(small) == (False, [])
    assert of(full) == (True, [{"name": "http", "instanceCount": 2}])


def test_a_public_installation_has_no_network(small: list[Resource], full: list[Resource]) -> None:
    for resources in (small, full):
        assert [r["type"] for r in resources if r["type"].startswith("Microsoft.Network/")] == []
        site = one(resources, "Microsoft.Web/sites")["properties"]
        assert site["siteConfig"]["scmIpSecurityRestrictionsDefaultAction"] == "Allow"
    site = one(small, "Microsoft.Web/sites")["properties"]["siteConfig"]
    assert (site["ipSecurityRestrictions"], site["ipSecurityRestrictionsDefaultAction"]) == ([], "Allow")


def test_what_is_there_already_is_used_and_not_made(given: list[Resource]) -> None:
    kinds = {resource["type"] for resource in given}
    for made in ("Microsoft.KeyVault/vaults", "Microsoft.OperationalInsights/workspaces"):
        assert made not in kinds
    assert not {
        kind for kind in kinds if kind.startswith(("Microsoft.Network/virtual", "Microsoft.Network/privateDns"))
    }
    insights = one(given, "Microsoft.Insights/components")["properties"]
    assert insights["WorkspaceResourceId"] == bicep.GIVEN_WORKSPACE
    on_vault = [r for r in of_type(given, "Microsoft.Authorization/roleAssignments") if bicep.GIVEN_VAULT in r["id"]]
    assert len(on_vault) == 3
    endpoints = of_type(given, "Microsoft.Network/privateEndpoints")
    assert len(endpoints) == 5
    assert of_type(given, "Microsoft.Network/privateEndpoints/privateDnsZoneGroups") == []
    for rule in of_type(given, "Microsoft.Insights/metricAlerts"):
        assert rule["properties"]["actions"] == [{"actionGroupId": bicep.GIVEN_PEOPLE}]


def test_named_addresses_reach_a_private_installation(given: list[Resource]) -> None:
    def reach(kind: str) -> dict[str, Any]:
        return dict(one(given, kind)["properties"])

    storage = reach("Microsoft.Storage/storageAccounts")
    assert (storage["publicNetworkAccess"], storage["networkAcls"]["defaultAction"]) == ("Enabled", "Deny")
    assert [rule["value"] for rule in storage["networkAcls"]["ipRules"]] == ["198.51.100.0/24", "203.0.113.9"]
    bus = reach("Microsoft.ServiceBus/namespaces/networkRuleSets")
    assert (bus["publicNetworkAccess"], bus["defaultAction"]) == ("Enabled", "Deny")
    assert [rule["ipMask"] for rule in bus["ipRules"]] == ["198.51.100.0/24", "203.0.113.9/32"]
    site = reach("Microsoft.Web/sites")
    assert site["publicNetworkAccess"] == "Disabled"
    assert [r["ipAddress"] for r in site["siteConfig"]["scmIpSecurityRestrictions"]] == [
        "198.51.100.0/24",
        "203.0.113.9/32",
    ]
    assert of_type(given, "Microsoft.Insights/webtests") == []


def test_another_cloud_has_its_own_addresses(given: list[Resource]) -> None:
    settings = settings_of(given)
    assert settings["SYNC_LEDGER"].endswith(".table.core.usgovcloudapi.net/ledger")
    assert settings["REPORT_LOCATION"].endswith(".blob.core.usgovcloudapi.net/reports")
    assert settings["AzureWebJobsStorage__blobServiceUri"].endswith(".blob.core.usgovcloudapi.net")
    assert settings["ServiceBusConnection__fullyQualifiedNamespace"].endswith(".servicebus.usgovcloudapi.net")
    assert settings["AZURE_AUTHORITY_HOST"] == "https://login.microsoftonline.us/"
    assert ".vault.usgovcloudapi.net/secrets/webhook)" in settings["DYNAMICS_365_WEBHOOK_SECRET"]
    text = str([r for r in given if r["type"] != "Microsoft.Insights/workbooks"])
    assert [ending for ending in ("windows.net", "azure.net", "microsoftonline.com") if ending in text] == []


def test_an_interval_that_is_hours_makes_a_schedule_of_hours(small: list[Resource], full: list[Resource]) -> None:
    assert settings_of(small)["RECONCILE_SCHEDULE"] == "0 */15 * * * *"
    assert settings_of(full)["RECONCILE_SCHEDULE"] == "0 0 */2 * * *"


def test_people_are_called_only_where_there_is_somebody(small: list[Resource], full: list[Resource]) -> None:
    assert of_type(small, "Microsoft.Insights/actionGroups") == []
    assert of_type(small, "Microsoft.EventGrid/systemTopics") == []
    people = one(full, "Microsoft.Insights/actionGroups")["properties"]
    assert [r["emailAddress"] for r in people["emailReceivers"]] == ["people@fabrikam.com", "night@fabrikam.com"]
    assert [r["serviceUri"] for r in people["webhookReceivers"]] == ["https://logic.fabrikam.com/teams"]


def test_a_budget_tells_before_it_is_spent(small: list[Resource], full: list[Resource]) -> None:
    assert of_type(small, "Microsoft.Consumption/budgets") == []
    budget = one(full, "Microsoft.Consumption/budgets")["properties"]
    assert (budget["amount"], budget["timeGrain"], budget["category"]) == (500, "Monthly", "Cost")
    assert budget["timePeriod"] == {"startDate": "2026-01-01T00:00:00Z"}
    told = {n["thresholdType"]: (n["threshold"], n["operator"], n["enabled"]) for n in budget["notifications"].values()}
    assert told == {
        "Actual": (80, "GreaterThanOrEqualTo", True),
        "Forecasted": (100, "GreaterThanOrEqualTo", True),
    }
    for notification in budget["notifications"].values():
        assert notification["contactEmails"] == ["people@fabrikam.com", "night@fabrikam.com"]


def test_windows_of_alerts_are_two_runs_of_the_reconciliation(
    small: list[Resource], full: list[Resource], trial: list[Resource]
) -> None:
    for resources, minutes, backlog in ((small, 15, 30), (full, 120, 240), (trial, 5, 30)):
        found = {
            watching.alert_name(rule): rule["properties"]["windowSize"]
            for rule in of_type(resources, "Microsoft.Insights/scheduledQueryRules")
        }
        assert found["no-reconcile"] == found["drift-brake"] == f"PT{2 * minutes}M"
        assert found["backlog"] == f"PT{backlog}M"


def test_a_trials_vault_can_be_purged_and_a_lost_one_recovered(trial: list[Resource]) -> None:
    vault = one(trial, "Microsoft.KeyVault/vaults")["properties"]
    # Azure refuses false: what is not protected leaves it out.
    assert (vault.get("enablePurgeProtection"), vault["softDeleteRetentionInDays"]) == (None, 7)
    assert vault["createMode"] == "recover"


def test_without_a_cap_nobody_is_told_of_it(trial: list[Resource]) -> None:
    workspace = one(trial, "Microsoft.OperationalInsights/workspaces")["properties"]
    assert workspace["workspaceCapping"] == {"dailyQuotaGb": -1}
    rules_ = of_type(trial, "Microsoft.Insights/scheduledQueryRules")
    assert "log-cap" not in {watching.alert_name(rule) for rule in rules_}


def test_a_parameter_that_is_a_setting_reaches_the_app(trial: list[Resource]) -> None:
    settings = settings_of(trial)
    passed = {name: value for name, value in bicep.TRIAL.items() if name in settings}
    assert len(passed) > 9
    assert {name: settings[name] for name in passed} == passed


def test_other_parameters_reach_what_they_are_for(trial: list[Resource]) -> None:
    scale = one(trial, "Microsoft.Web/sites")["properties"]["functionAppConfig"]["scaleAndConcurrency"]
    assert (scale["maximumInstanceCount"], scale["instanceMemoryMB"]) == (3, 512)
    assert scale["triggers"] == {"http": {"perInstanceConcurrency": 4}}
    bus = one(trial, "Microsoft.ServiceBus/namespaces")
    assert bus["sku"] == {"name": "Premium", "tier": "Premium", "capacity": 4}
    # Premium without a private network stays reachable.
    assert bus["properties"]["publicNetworkAccess"] == "Enabled"
    assert of_type(trial, "Microsoft.ServiceBus/namespaces/networkRuleSets") == []
    workspace = one(trial, "Microsoft.OperationalInsights/workspaces")["properties"]
    assert workspace["retentionInDays"] == 60
    (rule,) = one(trial, "Microsoft.Storage/storageAccounts/managementPolicies")["properties"]["policy"]["rules"]
    assert rule["definition"]["actions"]["baseBlob"]["delete"]["daysAfterModificationGreaterThan"] == 9
    thresholds = {
        watching.alert_name(rule): rule["properties"]["criteria"]["allOf"][0]["threshold"]
        for rule in of_type(trial, "Microsoft.Insights/scheduledQueryRules")
    }
    assert (thresholds["backlog"], thresholds["failures"], thresholds["throttling"]) == (5, 50, 7)
