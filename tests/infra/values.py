"""The values that decide whether an installation works. Each rule yields its violations."""

from collections.abc import Iterator
from typing import Any, Final

from tests.infra.bicep import Resource, of_type, one
from tests.infra.rules import wanted

PLATFORM: Final = {
    "AzureWebJobsStorage__credential": "managedidentity",
    "ServiceBusConnection__credential": "managedidentity",
    "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY": "true",
    "OTEL_TRACES_SAMPLER": "microsoft.fixed_percentage",
    "OTEL_TRACES_SAMPLER_ARG": "1.0",
    "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "httpx,requests,urllib,urllib3,azure_sdk",
}
"""Settings of the host, the worker and the exporter that are the same everywhere."""

_IDENTITY: Final = "Microsoft.ManagedIdentity/userAssignedIdentities"


def platform_settings(resources: list[Resource]) -> Iterator[str]:
    """The host, the worker and the exporter sign in as the app's identity, and report."""
    settings = one(resources, "Microsoft.Web/sites/config", "appsettings")["properties"]
    yield from wanted("setting", settings, **PLATFORM)
    for name in ("AzureWebJobsStorage__clientId", "ServiceBusConnection__clientId", "AZURE_CLIENT_ID"):
        if _IDENTITY not in settings[name] or ".clientId" not in settings[name]:
            yield f"setting: {name} is not the identity's client id"
    telemetry = settings["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"]
    if "ClientId={0};Authorization=AAD" not in telemetry and not telemetry.endswith(";Authorization=AAD"):
        yield "setting: APPLICATIONINSIGHTS_AUTHENTICATION_STRING does not sign in with Entra"
    if "connectionString" not in settings["APPLICATIONINSIGHTS_CONNECTION_STRING"]:
        yield "setting: APPLICATIONINSIGHTS_CONNECTION_STRING is not that of Application Insights"
    account = one(resources, "Microsoft.Storage/storageAccounts")["name"]
    namespace = one(resources, "Microsoft.ServiceBus/namespaces")["name"]
    yield from wanted(
        "setting",
        settings,
        AzureWebJobsStorage__blobServiceUri=f"https://{account}.blob.core.windows.net",
        ServiceBusConnection__fullyQualifiedNamespace=f"{namespace}.servicebus.windows.net",
        SYNC_LEDGER=f"https://{account}.table.core.windows.net/ledger",
        REPORT_LOCATION=f"https://{account}.blob.core.windows.net/reports",
        BACKUP_LOCATION=f"https://{account}.blob.core.windows.net/backups",
        AZURE_AUTHORITY_HOST="https://login.microsoftonline.com/",
    )
    deployed = {
        f"https://{account}.{kind}.core.windows.net/{resource['name'].split('/')[-1]}"
        for kind, parent in (("blob", "blobServices/containers"), ("table", "tableServices/tables"))
        for resource in of_type(resources, f"Microsoft.Storage/storageAccounts/{parent}")
    }
    for name in ("SYNC_LEDGER", "REPORT_LOCATION", "BACKUP_LOCATION"):
        if settings[name] not in deployed:
            yield f"setting: {name} is {settings[name]}, which is not deployed"


def compute(resources: list[Resource]) -> Iterator[str]:
    """Flex Consumption, Python 3.13, the app's own identity, and a package from a container that is deployed."""
    plan, app = one(resources, "Microsoft.Web/serverfarms"), one(resources, "Microsoft.Web/sites")
    yield from wanted("plan", plan, sku={"name": "FC1", "tier": "FlexConsumption"}, kind="functionapp")
    yield from wanted("plan", plan["properties"], reserved=True)
    yield from wanted("app", app, kind="functionapp,linux")
    config = app["properties"]["functionAppConfig"]
    yield from wanted("app", config, runtime={"name": "python", "version": "3.13"})
    identity = one(resources, _IDENTITY)["id"]
    package = config["deployment"]["storage"]
    yield from wanted("package", package, type="blobContainer")
    yield from wanted(
        "package",
        package["authentication"],
        type="UserAssignedIdentity",
        userAssignedIdentityResourceId=identity,
    )
    account = one(resources, "Microsoft.Storage/storageAccounts")["name"]
    containers = of_type(resources, "Microsoft.Storage/storageAccounts/blobServices/containers")
    addresses = {f"https://{account}.blob.core.windows.net/{c['name'].split('/')[-1]}" for c in containers}
    if package["value"] not in addresses or not package["value"].endswith("/deployment"):
        yield f"package: {package['value']} is no container that is deployed for it"
    yield from wanted("app", app["identity"], type="UserAssigned", userAssignedIdentities={identity: {}})
    yield from wanted("app", app["properties"], keyVaultReferenceIdentity=identity)
    yield from wanted("app", app["tags"], **{"azd-service-name": "api"})
    yield from wanted("app", app["properties"], publicNetworkAccess="Enabled", serverFarmId=plan["id"])
    yield from wanted("app", app["properties"]["siteConfig"], http20Enabled=True)
    logs = [s for s in of_type(resources, "Microsoft.Insights/diagnosticSettings") if s["id"].startswith(app["id"])]
    if [log for setting in logs for log in setting["properties"]["logs"]] != [
        {"category": "FunctionAppLogs", "enabled": True}
    ]:
        yield "host: its log is not kept"


def scale(resources: list[Resource]) -> Iterator[str]:
    """What Dataverse admits bounds the app, not what the platform would do by itself."""
    config = one(resources, "Microsoft.Web/sites")["properties"]["functionAppConfig"]["scaleAndConcurrency"]
    yield from wanted(
        "scale",
        config,
        instanceMemoryMB=2048,
        maximumInstanceCount=12,
        triggers={"http": {"perInstanceConcurrency": 16}},
    )


def tiers(resources: list[Resource]) -> Iterator[str]:
    """The smallest tiers that do the work."""
    private = bool(of_type(resources, "Microsoft.Network/privateEndpoints"))
    standard: dict[str, Any] = {"name": "Standard", "tier": "Standard"}
    premium: dict[str, Any] = {"name": "Premium", "tier": "Premium", "capacity": 1}
    yield from wanted(
        "service bus", one(resources, "Microsoft.ServiceBus/namespaces"), sku=premium if private else standard
    )
    storage = one(resources, "Microsoft.Storage/storageAccounts")
    yield from wanted("storage", storage, sku={"name": "Standard_ZRS"}, kind="StorageV2")
    yield from wanted("storage", storage["properties"], accessTier="Hot")
    vault = one(resources, "Microsoft.KeyVault/vaults")["properties"]
    yield from wanted("vault", vault, sku={"family": "A", "name": "standard"})
    workspace = one(resources, "Microsoft.OperationalInsights/workspaces")["properties"]
    yield from wanted(
        "workspace",
        workspace,
        sku={"name": "PerGB2018"},
        retentionInDays=30,
        workspaceCapping={"dailyQuotaGb": 5},
    )
    yield from wanted("workspace", workspace["features"], enableLogAccessUsingOnlyResourcePermissions=True)
    insights = one(resources, "Microsoft.Insights/components")["properties"]
    id_ = one(resources, "Microsoft.OperationalInsights/workspaces")["id"]
    yield from wanted("insights", insights, Application_Type="web", WorkspaceResourceId=id_)


def callers(resources: list[Resource]) -> Iterator[str]:
    """Who is named may call, everybody else is refused; Front Door is bound by its own header."""
    site = one(resources, "Microsoft.Web/sites")["properties"]["siteConfig"]
    yield from wanted("callers", site, ipSecurityRestrictionsDefaultAction="Deny")
    rules = {rule["name"]: rule for rule in site["ipSecurityRestrictions"]}
    if rules.keys() != {"front-door", "AzureCloud", "address-0", "availability"}:
        yield f"callers: {sorted(rules)}"
    for name, rule in rules.items():
        yield from wanted(name, rule, action="Allow")
    yield from wanted(
        "front-door",
        rules.get("front-door", {}),
        tag="ServiceTag",
        ipAddress="AzureFrontDoor.Backend",
        headers={"x-azure-fdid": ["88888888-8888-8888-8888-888888888888"]},
    )
    yield from wanted("address-0", rules.get("address-0", {}), tag="Default", ipAddress="203.0.113.7/32")
    yield from wanted("availability", rules.get("availability", {}), ipAddress="ApplicationInsightsAvailability")
    if len({rule["priority"] for rule in rules.values()}) != len(rules):
        yield "callers: two rules of one priority"
