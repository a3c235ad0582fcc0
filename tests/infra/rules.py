"""What must hold of the evaluated deployment. Each rule answers its violations; none is well."""

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
    ("app", "Storage Blob Data Owner", "containers/azure-webjobs-hosts"),
    ("app", "Storage Blob Data Owner", "containers/azure-webjobs-secrets"),
    ("app", "Storage Table Data Contributor", "tables/ledger"),
    ("app", "Key Vault Secrets User", "vaults"),
    ("app", "Monitoring Metrics Publisher", "components"),
}
OTHER_GRANTS: Final = {
    ("app", "Service Bus Data Owner", "queues/assets"),
    ("app", "Service Bus Data Owner", "queues/orders"),
    ("cmms", "Service Bus Data Sender", "queues/assets"),
    ("cmms", "Service Bus Data Sender", "queues/orders"),
    ("operators", "Service Bus Data Receiver", "queues/assets"),
    ("operators", "Service Bus Data Receiver", "queues/orders"),
    ("operators", "Service Bus Data Receiver", "queues/parked"),
    ("operators", "Service Bus Data Sender", "queues/assets"),
    ("operators", "Service Bus Data Sender", "queues/orders"),
    ("operators", "Storage Blob Data Reader", "containers/reports"),
    ("operators", "Storage Table Data Contributor", "tables/ledger"),
    ("operators", "Key Vault Secrets Officer", "vaults"),
}
PEOPLE: Final = {CMMS: "cmms", OPERATORS: "operators"}

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
        "storage", storage, allowSharedKeyAccess=False, allowBlobPublicAccess=False, defaultToOAuthAuthentication=True
    )
    for container in of_type(resources, "Microsoft.Storage/storageAccounts/blobServices/containers"):
        yield from wanted(container["name"], container["properties"], publicAccess="None")
    namespace = one(resources, "Microsoft.ServiceBus/namespaces")["properties"]
    yield from wanted("service bus", namespace, disableLocalAuth=True)
    yield from wanted("insights", one(resources, "Microsoft.Insights/components")["properties"], DisableLocalAuth=True)
    workspace = one(resources, "Microsoft.OperationalInsights/workspaces")["properties"]["features"]
    yield from wanted("workspace", workspace, disableLocalAuth=True)
    for policy in of_type(resources, "Microsoft.Web/sites/basicPublishingCredentialsPolicies"):
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
    vault = one(resources, "Microsoft.KeyVault/vaults")["properties"]
    yield from wanted("vault", vault, enableRbacAuthorization=True, enablePurgeProtection=True, enableSoftDelete=True)
    settings = one(resources, "Microsoft.Web/sites/config", "appsettings")["properties"]
    for name, value in settings.items():
        if name.endswith(("_SECRET", "_SECRET_PREVIOUS", "_TOKEN")) and value and "@Microsoft.KeyVault(" not in value:
            yield f"{name} does not refer to the vault"
    if of_type(resources, "Microsoft.KeyVault/vaults/secrets"):
        yield "a template holds a secret"


def grants(resources: list[Resource]) -> set[tuple[str, str, str]]:
    """Every role assignment as (who, role, the last part of the scope)."""
    found = set()
    for assignment in of_type(resources, "Microsoft.Authorization/roleAssignments"):
        scope = assignment["id"].split("/providers/Microsoft.Authorization/")[0].split("/")
        who = PEOPLE.get(assignment["properties"]["principalId"], "app")
        role = assignment["properties"]["roleDefinitionId"].split("/")[-1]
        kept = scope[-2:] if scope[-2] in {"queues", "containers", "tables"} else [scope[-2]]
        found.add((who, ROLES.get(role, role), "/".join(kept)))
    return found


def granted(resources: list[Resource], listed: set[tuple[str, str, str]]) -> Iterator[str]:
    """Exactly the listed roles, at exactly the listed scopes."""
    found = grants(resources)
    for who, role, where in sorted(listed - found):
        yield f"role missing: {who} is not {role} on {where}"
    for who, role, where in sorted(found - listed):
        yield f"role too many: {who} is {role} on {where}"


def queues_of_the_code(resources: list[Resource]) -> Iterator[str]:
    """The queues are those of shared/domain/messages/queues.py."""
    found = {
        q["name"].split("/")[-1]: q["properties"] for q in of_type(resources, "Microsoft.ServiceBus/namespaces/queues")
    }
    if found.keys() != {queue.name for queue in ALL}:
        yield f"queues: {sorted(found)}"
    for queue in ALL:
        window, life = queue.duplicate_window, queue.time_to_live
        values: dict[str, object] = {
            "lockDuration": f"PT{queue.lock_duration.total_seconds() / 60:.0f}M",
            "maxDeliveryCount": queue.max_delivery_count,
            "requiresDuplicateDetection": window is not None,
            "duplicateDetectionHistoryTimeWindow": f"PT{window.total_seconds() / 60:.0f}M" if window else None,
            "defaultMessageTimeToLive": f"P{life.days}D" if life else None,
        }
        yield from wanted(queue.name, found.get(queue.name, {}), deadLetteringOnMessageExpiration=True, **values)


def violations(resources: list[Resource], listed: set[tuple[str, str, str]]) -> list[str]:
    """Every violation of every rule."""
    rules: tuple[Rule, ...] = (no_keys, encrypted, secrets_kept, queues_of_the_code)
    return [found for rule in rules for found in rule(resources)] + list(granted(resources, listed))
