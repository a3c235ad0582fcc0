"""What a private network closes, and how it is reached. Each rule yields its violations."""

from collections.abc import Iterator

from tests.infra.bicep import Resource, of_type, one
from tests.infra.rules import wanted


def closed(resources: list[Resource]) -> Iterator[str]:
    """Nothing but the webhook is reached from outside a private network."""
    for kind in ("Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults", "Microsoft.ServiceBus/namespaces"):
        resource = one(resources, kind)["properties"]
        name = kind.rpartition("/")[2]
        yield from wanted(name, resource, publicNetworkAccess="Disabled")
        if "networkAcls" in resource:
            yield from wanted(name, resource["networkAcls"], defaultAction="Deny", ipRules=[])
    bus = one(resources, "Microsoft.ServiceBus/namespaces/networkRuleSets")["properties"]
    yield from wanted("networkRuleSets", bus, publicNetworkAccess="Disabled", defaultAction="Deny", ipRules=[])
    for kind in ("Microsoft.Insights/components", "Microsoft.OperationalInsights/workspaces"):
        yield from wanted(
            kind.rpartition("/")[2],
            one(resources, kind)["properties"],
            publicNetworkAccessForIngestion="Disabled",
            publicNetworkAccessForQuery="Disabled",
        )
    modes = one(resources, "Microsoft.Insights/privateLinkScopes")["properties"]["accessModeSettings"]
    yield from wanted("privateLinkScopes", modes, ingestionAccessMode="PrivateOnly")
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
    network = one(resources, "Microsoft.Network/virtualNetworks")["properties"]
    subnets = {subnet["name"]: subnet["properties"] for subnet in network["subnets"]}
    delegated = [d["properties"]["serviceName"] for d in subnets["app"].get("delegations", [])]
    if delegated != ["Microsoft.App/environments"]:
        yield f"subnet app: delegated to {delegated}"
    for name, subnet in subnets.items():
        if "networkSecurityGroup" not in subnet:
            yield f"subnet {name}: no security group"
    if not subnets["app"].get("natGateway"):
        yield "subnet app: no fixed address"
    yield from wanted("subnet endpoints", subnets["endpoints"], privateEndpointNetworkPolicies="Enabled")
    rules = one(resources, "Microsoft.Network/networkSecurityGroups")["properties"]["securityRules"]
    found = {rule["name"]: rule["properties"] for rule in rules}
    yield from wanted(
        "from-the-network",
        found.get("from-the-network", {}),
        access="Allow",
        sourceAddressPrefix="VirtualNetwork",
        destinationPortRanges=["443", "5671"],
    )
    yield from wanted(
        "nobody-else", found.get("nobody-else", {}), access="Deny", sourceAddressPrefix="*", priority=4096
    )
