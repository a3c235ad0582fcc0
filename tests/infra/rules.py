"""What must hold of any evaluated deployment. Each rule yields its violations; none is well."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from shared.domain.messages.queues import ALL
from tests.infra.bicep import CMMS, OPERATORS, Resource, of_type, one

ROLES: Final = {
    "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0": "Service Bus Data Receiver",
    "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39": "Service Bus Data Sender",
    "090c5cfd-751d-490a-894a-3ce6f1109419": "Service Bus Data Owner",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": "Storage Blob Data Reader",
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3": "Storage Table Data Contributor",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
    "a4417e6f-fecd-4de8-b567-7b0420556985": "Key Vault Certificates Officer",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Monitoring Metrics Publisher",
}
APP_GRANTS: Final = {
    ("app", "Service Bus Data Receiver", "queues/assets"),
    ("app", "Service Bus Data Receiver", "queues/orders"),
    ("app", "Service Bus Data Receiver", "queues/parked"),
    ("app", "Service Bus Data Sender", "queues/assets"),
    ("app", "Service Bus Data Sender", "queues/orders"),
    ("app", "Service Bus Data Sender", "queues/parked"),
    ("app", "Storage Blob Data Contributor", "containers/deployment"),
    ("app", "Storage Blob Data Contributor", "containers/reports"),
    ("app", "Storage Blob Data Contributor", "containers/backups"),
    ("app", "Storage Blob Data Owner", "containers/azure-webjobs-hosts"),
    ("app", "Storage Blob Data Owner", "containers/azure-webjobs-secrets"),
    ("app", "Storage Table Data Contributor", "tables/ledger"),
    ("app", "Key Vault Secrets User", "vaults"),
    ("app", "Monitoring Metrics Publisher", "components"),
}
OPERATOR_GRANTS: Final = {
    ("operators", "Service Bus Data Receiver", "queues/assets"),
    ("operators", "Service Bus Data Receiver", "queues/orders"),
    ("operators", "Service Bus Data Receiver", "queues/parked"),
    ("operators", "Service Bus Data Sender", "queues/assets"),
    ("operators", "Service Bus Data Sender", "queues/orders"),
    ("operators", "Storage Blob Data Reader", "containers/reports"),
    ("operators", "Storage Blob Data Contributor", "containers/backups"),
    ("operators", "Storage Table Data Contributor", "tables/ledger"),
    ("operators", "Key Vault Secrets Officer", "vaults"),
    ("operators", "Key Vault Certificates Officer", "vaults"),
}
CMMS_GRANTS: Final = {
    ("cmms", "Service Bus Data Sender", "queues/assets"),
    ("cmms", "Service Bus Data Sender", "queues/orders"),
}
SCALER_GRANTS: Final = {
    ("app", "Service Bus Data Owner", "queues/assets"),
    ("app", "Service Bus Data Owner", "queues/orders"),
}
PEOPLE: Final = {CMMS: "cmms", OPERATORS: "operators"}
SECRET_ENDINGS: Final = ("_SECRET", "_SECRET_PREVIOUS", "_TOKEN")

type Rule = Callable[[list[Resource]], Iterator[str]]


def wanted(where: str, properties: dict[str, Any], **values: object) -> Iterator[str]:
    """A violation for each property that has another value."""
    for name, value in values.items():
        if properties.get(name) != value:
            yield f"{where}: {name} is {properties.get(name)!r}, not {value!r}"


def no_keys(resources: list[Resource]) -> Iterator[str]:
    """Nothing opens to a key or a connection string."""
    storage = one(resources, "Microsoft.Storage/storageAccounts")["properties"]
    yield from wanted(
        "storage",
        storage,
        allowSharedKeyAccess=False,
        allowBlobPublicAccess=False,
        allowCrossTenantReplication=False,
        defaultToOAuthAuthentication=True,
    )
    for container in of_type(resources, "Microsoft.Storage/storageAccounts/blobServices/containers"):
        yield from wanted(container["name"], container["properties"], publicAccess="None")
    namespace = one(resources, "Microsoft.ServiceBus/namespaces")["properties"]
    yield from wanted("service bus", namespace, disableLocalAuth=True)
    yield from wanted("insights", one(resources, "Microsoft.Insights/components")["properties"], DisableLocalAuth=True)
    for workspace in of_type(resources, "Microsoft.OperationalInsights/workspaces"):
        yield from wanted("workspace", workspace["properties"]["features"], disableLocalAuth=True)
    policies = of_type(resources, "Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    if sorted(policy["name"].split("/")[-1] for policy in policies) != ["ftp", "scm"]:
        yield "basic publishing: not switched off for both ways"
    for policy in policies:
        yield from wanted(policy["name"].split("/")[-1], policy["properties"], allow=False)
    kinds = {resource["type"] for resource in resources}
    if forbidden := {kind for kind in kinds if "authorizationrules" in kind.lower()}:
        yield f"keys of queues: {forbidden}"


def encrypted(resources: list[Resource]) -> Iterator[str]:
    """Everything speaks TLS 1.2 or newer."""
    storage = one(resources, "Microsoft.Storage/storageAccounts")["properties"]
    yield from wanted("storage", storage, minimumTlsVersion="TLS1_2", supportsHttpsTrafficOnly=True)
    namespace = one(resources, "Microsoft.ServiceBus/namespaces")["properties"]
    yield from wanted("service bus", namespace, minimumTlsVersion="1.2")
    site = one(resources, "Microsoft.Web/sites")["properties"]
    yield from wanted("app", site, httpsOnly=True)
    yield from wanted("app", site["siteConfig"], minTlsVersion="1.2", scmMinTlsVersion="1.2")


def secrets_kept(resources: list[Resource]) -> Iterator[str]:
    """The vault cannot lose a secret for good, grants by role only, and every secret setting refers to it."""
    for vault in of_type(resources, "Microsoft.KeyVault/vaults"):
        yield from wanted(
            "vault",
            vault["properties"],
            enableRbacAuthorization=True,
            enablePurgeProtection=True,
            enableSoftDelete=True,
            softDeleteRetentionInDays=90,
            createMode="default",
        )
    settings = one(resources, "Microsoft.Web/sites/config", "appsettings")["properties"]
    for name, value in settings.items():
        if name.endswith(SECRET_ENDINGS) and value and "@Microsoft.KeyVault(" not in value:
            yield f"{name} does not refer to the vault"
    if of_type(resources, "Microsoft.KeyVault/vaults/secrets"):
        yield "a template holds a secret"


def kept(resources: list[Resource]) -> Iterator[str]:
    """What was deleted by mistake can be had back, and who deleted it is on record."""
    blobs = one(resources, "Microsoft.Storage/storageAccounts/blobServices")["properties"]
    yield from wanted(
        "blobs",
        blobs,
        deleteRetentionPolicy={"enabled": True, "days": 7},
        containerDeleteRetentionPolicy={"enabled": True, "days": 7},
    )
    (rule,) = one(resources, "Microsoft.Storage/storageAccounts/managementPolicies")["properties"]["policy"]["rules"]
    yield from wanted("backups", rule, enabled=True, type="Lifecycle")
    yield from wanted(
        "backups",
        rule["definition"],
        filters={"blobTypes": ["blockBlob"], "prefixMatch": ["backups/"]},
        actions={"baseBlob": {"delete": {"daysAfterModificationGreaterThan": 30}}},
    )
    found = {}
    for setting in of_type(resources, "Microsoft.Insights/diagnosticSettings"):
        scope = setting["id"].split("/providers/Microsoft.Insights/")[0].split("/")[-2]
        found[scope] = {log["category"] for log in setting["properties"]["logs"] if log["enabled"]}
    expected = {
        "namespaces": {"OperationalLogs"},
        "tableServices": {"StorageDelete"},
        "blobServices": {"StorageDelete"},
    }
    if of_type(resources, "Microsoft.KeyVault/vaults"):
        expected["vaults"] = {"AuditEvent"}
    yield from wanted("audit logs", found, **expected)


def grants(resources: list[Resource]) -> list[tuple[str, str, str]]:
    """Every role assignment as (who, role, the last part of the scope)."""
    found = []
    for assignment in of_type(resources, "Microsoft.Authorization/roleAssignments"):
        # Who is granted is known only in Azure, and with that the name: then the id is an expression.
        given = assignment["id"].removeprefix("[extensionResourceId('").partition("', ")[0]
        scope = given.split("/providers/Microsoft.Authorization/")[0].split("/")
        who = PEOPLE.get(assignment["properties"]["principalId"], "app")
        role = assignment["properties"]["roleDefinitionId"].split("/")[-1]
        part = scope[-2:] if scope[-2] in {"queues", "containers", "tables"} else [scope[-2]]
        found.append((who, ROLES.get(role, role), "/".join(part)))
    return found


def granted(resources: list[Resource], listed: set[tuple[str, str, str]]) -> Iterator[str]:
    """Exactly the listed roles, at exactly the listed scopes, each once, to what they are said to be."""
    found = grants(resources)
    for who, role, where in sorted(listed - set(found)):
        yield f"role missing: {who} is not {role} on {where}"
    for who, role, where in sorted(set(found) - listed):
        yield f"role too many: {who} is {role} on {where}"
    for who, role, where in sorted({grant for grant in found if found.count(grant) > 1}):
        yield f"role twice: {who} is {role} on {where}"
    for assignment in of_type(resources, "Microsoft.Authorization/roleAssignments"):
        properties = assignment["properties"]
        if properties["principalId"] not in PEOPLE and "outputs.principalId" not in assignment["name"]:
            yield "role assignment: its name does not change with the identity"
        kind = "Group" if PEOPLE.get(properties["principalId"]) == "operators" else "ServicePrincipal"
        yield from wanted("role assignment", properties, principalType=kind)


def queues_of_the_code(resources: list[Resource]) -> Iterator[str]:
    """The queues are those of shared/domain/messages/queues.py."""
    found = {
        q["name"].split("/")[-1]: q["properties"] for q in of_type(resources, "Microsoft.ServiceBus/namespaces/queues")
    }
    if found.keys() != {queue.name for queue in ALL}:
        yield f"queues: {sorted(found)}"
    tier = one(resources, "Microsoft.ServiceBus/namespaces")["sku"]["name"]
    for queue in ALL:
        window, life = queue.duplicate_window, queue.time_to_live
        values: dict[str, object] = {
            "lockDuration": f"PT{queue.lock_duration.total_seconds() / 60:.0f}M",
            "maxDeliveryCount": queue.max_delivery_count,
            "requiresDuplicateDetection": window is not None,
            "duplicateDetectionHistoryTimeWindow": f"PT{window.total_seconds() / 60:.0f}M" if window else None,
            "defaultMessageTimeToLive": f"P{life.days}D" if life else None,
            "maxSizeInMegabytes": 5120 if tier == "Standard" else None,
        }
        yield from wanted(queue.name, found.get(queue.name, {}), deadLetteringOnMessageExpiration=True, **values)
