"""What a private network closes, and how it is reached. Each rule yields its violations."""

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import Final

from tests.infra.bicep import Resource, of_type, one
from tests.infra.rules import wanted


def closed(resources: list[Resource]) -> Iterator[str]:
    """Nothing but the webhook is reached from outside a private network."""
    for kind in ("Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults", "Microsoft.ServiceBus/namespaces"):
        resource = one(resources, kind)["properties"]
        name = kind.rpartition("/")[2]
        yield from wanted(name, resource, publicNetworkAccess="Disabled")
        if "networkAcls" in resource:
            # Key Vault references, diagnostics and the vault's events come from Azure's own services.
            acls = resource["networkAcls"]
            yield from wanted(name, acls, defaultAction="Deny", ipRules=[], bypass="AzureServices")
    bus = one(resources, "Microsoft.ServiceBus/namespaces/networkRuleSets")["properties"]
    yield from wanted("networkRuleSets", bus, publicNetworkAccess="Disabled", defaultAction="Deny", ipRules=[])
    yield from wanted("networkRuleSets", bus, trustedServiceAccessEnabled=True)
    for kind in ("Microsoft.Insights/components", "Microsoft.OperationalInsights/workspaces"):
        yield from wanted(
            kind.rpartition("/")[2],
            one(resources, kind)["properties"],
            publicNetworkAccessForIngestion="Disabled",
            publicNetworkAccessForQuery="Disabled",
        )
    modes = one(resources, "Microsoft.Insights/privateLinkScopes")["properties"]["accessModeSettings"]
    yield from wanted("privateLinkScopes", modes, ingestionAccessMode="PrivateOnly")
    scoped = {
        scope["properties"]["linkedResourceId"]
        for scope in of_type(resources, "Microsoft.Insights/privateLinkScopes/scopedResources")
    }
    for kind in ("Microsoft.Insights/components", "Microsoft.OperationalInsights/workspaces"):
        if one(resources, kind)["id"] not in scoped:
            yield f"privateLinkScopes: {kind} is not in it"
    site = one(resources, "Microsoft.Web/sites")["properties"]
    yield from wanted("deployments", site["siteConfig"], scmIpSecurityRestrictionsDefaultAction="Deny")
    yield from wanted("deployments", site["siteConfig"], scmIpSecurityRestrictionsUseMain=False)
    yield from wanted("deployments", site["siteConfig"], scmIpSecurityRestrictions=[])
    if "integrationSubnetId" not in str(site.get("virtualNetworkSubnetId")):
        yield "app: calls out past the network"


def reached_privately(resources: list[Resource]) -> Iterator[str]:
    """Each service has an endpoint in the network, whose name resolves there."""
    endpoints = of_type(resources, "Microsoft.Network/privateEndpoints")
    kinds = sorted(e["properties"]["privateLinkServiceConnections"][0]["properties"]["groupIds"][0] for e in endpoints)
    if kinds != ["azuremonitor", "blob", "namespace", "sites", "table", "vault"]:
        yield f"private endpoints: {kinds}"
    zones = {zone["name"] for zone in of_type(resources, "Microsoft.Network/privateDnsZones")}
    links = {
        link["name"].split("/")[0]
        for link in of_type(resources, "Microsoft.Network/privateDnsZones/virtualNetworkLinks")
    }
    if zones != links:
        yield f"zones without a network: {sorted(zones ^ links)}"
    yield from _named(resources)
    groups = of_type(resources, "Microsoft.Network/privateEndpoints/privateDnsZoneGroups")
    if len(groups) != len(endpoints):
        yield f"{len(groups)} zone groups for {len(endpoints)} endpoints"
    named = {
        config["properties"]["privateDnsZoneId"].split("/")[-1]
        for group in groups
        for config in group["properties"]["privateDnsZoneConfigs"]
    }
    if named != zones:
        yield f"zones that nothing is in, or that are not there: {sorted(named ^ zones)}"
    yield from _subnets(resources)


SERVES: Final = {
    "azuremonitor": "outputs.scopeId",
    "blob": "'storage-",
    "namespace": "'serviceBus-",
    "sites": "'app-",
    "table": "'storage-",
    "vault": "Microsoft.KeyVault/vaults",
}
"""By the kind of a private endpoint: what the id of its service holds."""
ZONES: Final = {
    "azuremonitor": {
        "privatelink.monitor.azure.com",
        "privatelink.oms.opinsights.azure.com",
        "privatelink.ods.opinsights.azure.com",
        "privatelink.agentsvc.azure-automation.net",
        "privatelink.blob.core.windows.net",
    },
    "blob": {"privatelink.blob.core.windows.net"},
    "namespace": {"privatelink.servicebus.windows.net"},
    "sites": {"privatelink.azurewebsites.net"},
    "table": {"privatelink.table.core.windows.net"},
    "vault": {"privatelink.vaultcore.azure.net"},
}
"""By the kind of a private endpoint: the zones of its names.

https://learn.microsoft.com/azure/private-link/private-endpoint-dns
"""


def _named(resources: list[Resource]) -> Iterator[str]:
    """Each endpoint is in its subnet, serves its own service, and is found by the names of that service."""
    for link in of_type(resources, "Microsoft.Network/privateDnsZones/virtualNetworkLinks"):
        yield from wanted("zone", link["properties"], registrationEnabled=False)
        if "outputs.networkId" not in str(link["properties"]["virtualNetwork"]):
            yield f"zone {link['name']}: linked to another network"
    groups = {
        group["name"].split("/")[0]: {
            config["properties"]["privateDnsZoneId"].split("/")[-1]
            for config in group["properties"]["privateDnsZoneConfigs"]
        }
        for group in of_type(resources, "Microsoft.Network/privateEndpoints/privateDnsZoneGroups")
    }
    for endpoint in of_type(resources, "Microsoft.Network/privateEndpoints"):
        connection = endpoint["properties"]["privateLinkServiceConnections"][0]["properties"]
        kind = endpoint["name"].split("-")[1]
        yield from wanted(endpoint["name"], connection, groupIds=[kind])
        if SERVES[kind] not in connection["privateLinkServiceId"]:
            yield f"endpoint {kind}: serves {connection['privateLinkServiceId']}"
        if "outputs.endpointsSubnetId" not in endpoint["properties"]["subnet"]["id"]:
            yield f"endpoint {kind}: not in the subnet of the endpoints"
        if groups.get(endpoint["name"]) != ZONES[kind]:
            yield f"endpoint {kind}: named in {sorted(groups.get(endpoint['name'], ()))}"


def _subnets(resources: list[Resource]) -> Iterator[str]:
    """Two subnets side by side, each guarded, the app's with one fixed address to the outside."""
    network = one(resources, "Microsoft.Network/virtualNetworks")["properties"]
    (space,) = (IPv4Network(prefix) for prefix in network["addressSpace"]["addressPrefixes"])
    first, second = (IPv4Network(subnet["properties"]["addressPrefix"]) for subnet in network["subnets"])
    if first.overlaps(second) or not (first.subnet_of(space) and second.subnet_of(space)):
        yield f"subnets: {first} and {second} in {space}"
    subnets = {subnet["name"]: subnet["properties"] for subnet in network["subnets"]}
    delegated = [d["properties"]["serviceName"] for d in subnets["app"].get("delegations", [])]
    if delegated != ["Microsoft.App/environments"]:
        yield f"subnet app: delegated to {delegated}"
    for name, subnet in subnets.items():
        if "networkSecurityGroup" not in subnet:
            yield f"subnet {name}: no security group"
    if not subnets["app"].get("natGateway"):
        yield "subnet app: no fixed address"
    address = one(resources, "Microsoft.Network/publicIPAddresses")
    yield from wanted("fixed address", address, sku={"name": "Standard"})
    yield from wanted("fixed address", address["properties"], publicIPAllocationMethod="Static")
    gateway = one(resources, "Microsoft.Network/natGateways")["properties"]
    yield from wanted("gateway", gateway, publicIpAddresses=[{"id": address["id"]}])
    yield from wanted("subnet endpoints", subnets["endpoints"], defaultOutboundAccess=False)
    yield from wanted("subnet endpoints", subnets["endpoints"], privateEndpointNetworkPolicies="Enabled")
    rules = one(resources, "Microsoft.Network/networkSecurityGroups")["properties"]["securityRules"]
    found = {rule["name"]: rule["properties"] for rule in rules}
    yield from wanted(
        "from-the-network",
        found.get("from-the-network", {}),
        access="Allow",
        direction="Inbound",
        priority=100,
        protocol="Tcp",
        sourceAddressPrefix="VirtualNetwork",
        destinationAddressPrefix="VirtualNetwork",
        destinationPortRanges=["443", "5671"],
    )
    yield from wanted(
        "nobody-else",
        found.get("nobody-else", {}),
        access="Deny",
        direction="Inbound",
        priority=4096,
        protocol="*",
        sourceAddressPrefix="*",
        destinationAddressPrefix="*",
        destinationPortRange="*",
    )
