"""Weakenings that deploy without a word and are noticed late: a query that never counts, an endpoint nobody finds."""

from typing import Final

from tests.infra.mutations import Mutation

PUBLIC: Final[list[Mutation]] = [
    # Queries of alerts.
    ("alerts", "max(Max) / 60'", "min(Min) / 60'", "backlog: query is"),
    ("alerts", 'not(ResultCode startswith "4")', 'not(ResultCode startswith "5")', "failures: query is"),
    ("alerts", '== "configuration_error"', '== "conflict"', "misconfigured: query is"),
    ("alerts", '== "mass_clear"', '== "conflict"', "mass-clear: query is"),
    ("alerts", '"sync.drift_brake" |', '"sync.drift_brake" and false |', "drift-brake: query is"),
    ("alerts", "coalesce(Runs, 0.0) > 0, 0, 1)", "coalesce(Runs, 0.0) > 0, 1, 0)", "no-reconcile: query is"),
    ("alerts", '(Properties.service) == "Dynamics"', '(Properties.service) == "CMMS"', "throttling: query is"),
    ("alerts", 'Detail has "OverQuota"', 'Detail has "Approaching"', "log-cap: query is"),
    ("alerts", "scopes: [workspaceId]", "scopes: [namespaceId]", "backlog: does not ask the workspace"),
    # Who is told, and of what.
    (
        "receivers",
        "emailAddress: email, useCommonAlertSchema: true",
        "emailAddress: email, useCommonAlertSchema: false",
        "email-0: useCommonAlertSchema is False",
    ),
    ("expiry", "'CloudEventSchemaV1_0'", "'EventGridSchema'", "expiry: eventDeliverySchema is"),
    ("expiry", "severity: 'Sev1'", "severity: 'Sev4'", "expiry: severity is 'Sev4'"),
    (
        "expiry",
        "          'Microsoft.KeyVault.SecretExpired'\n",
        "",
        "expiry: does not see a secret that ends (Expired)",
    ),
    (
        "expiry",
        "topicType: 'Microsoft.KeyVault.vaults'",
        "topicType: 'Microsoft.Storage.StorageAccounts'",
        "expiry: topicType is",
    ),
    ("availability", "HttpVerb: 'GET'", "HttpVerb: 'HEAD'", "availability: HttpVerb is 'HEAD'"),
    ("availability", "Timeout: 60", "Timeout: 1", "availability: Timeout is 1"),
    ("availability", "LifetimeCheck: 7", "LifetimeCheck: 1", "SSLCertRemainingLifetimeCheck is 1"),
    ("availability", "scopes: [test.id, insightsId]", "scopes: [test.id]", "does not watch outputs.insightsId"),
    (
        "availability",
        "tags: union(tags, { 'hidden-link:${insightsId}': 'Resource' })",
        "tags: tags",
        "Microsoft.Insights/webtests: the portal does not find it",
    ),
    # Where things lie, and what is kept of them.
    ("storage", "'reports', 'backups'", "'report', 'backups'", "REPORT_LOCATION is"),
    ("storage", "name: 'ledger'\n", "name: 'links'\n", "SYNC_LEDGER is"),
    ("storage", "accessTier: 'Hot'", "accessTier: 'Cold'", "storage: accessTier is 'Cold'"),
    (
        "function-app",
        "category: 'FunctionAppLogs', enabled: true",
        "category: 'FunctionAppLogs', enabled: false",
        "host: its log is not kept",
    ),
    (
        "function-app",
        "publicNetworkAccess: callers.public ? 'Enabled' : 'Disabled'",
        "publicNetworkAccess: callers.public ? 'Disabled' : 'Enabled'",
        "app: publicNetworkAccess is 'Disabled'",
    ),
    ("function-app", "http20Enabled: true", "http20Enabled: false", "app: http20Enabled is False"),
    (
        "monitoring",
        "OnlyResourcePermissions: true",
        "OnlyResourcePermissions: false",
        "OnlyResourcePermissions is False",
    ),
    ("monitoring", "Application_Type: 'web'", "Application_Type: 'other'", "insights: Application_Type is 'other'"),
]

PRIVATE: Final[list[Mutation]] = [
    ("storage", "bypass: 'AzureServices'", "bypass: 'None'", "storageAccounts: bypass is 'None'"),
    ("key-vault", "bypass: 'AzureServices'", "bypass: 'None'", "vaults: bypass is 'None'"),
    ("service-bus", "AccessEnabled: true", "AccessEnabled: false", "trustedServiceAccessEnabled is False"),
    (
        "monitoring",
        "properties: { linkedResourceId: usedWorkspaceId }",
        "properties: { linkedResourceId: insights.id }",
        "privateLinkScopes: Microsoft.OperationalInsights/workspaces is not in it",
    ),
    (
        "private-endpoints",
        "registrationEnabled: false",
        "registrationEnabled: true",
        "zone: registrationEnabled is True",
    ),
    (
        "private-endpoints",
        "privateLinkServiceId: service.id",
        "privateLinkServiceId: services[0].id",
        "endpoint namespace: serves",
    ),
    (
        "private-endpoints",
        "for name in privateZones[cloud][service.kind]: {\n",
        "for name in take(privateZones[cloud][service.kind], 4): {\n",
        "endpoint azuremonitor: named in",
    ),
    ("network", "addressPrefix, 26, 1)", "addressPrefix, 26, 0)", "subnets: 10.90.0.0/26 and 10.90.0.0/26"),
    ("network", "defaultOutboundAccess: false", "defaultOutboundAccess: true", "defaultOutboundAccess is True"),
    ("network", "publicIPAllocationMethod: 'Static'", "publicIPAllocationMethod: 'Dynamic'", "Method is 'Dynamic'"),
    ("network", "publicIpAddresses: [{ id: address.id }]", "publicIpAddresses: []", "gateway: publicIpAddresses is []"),
    ("network", "protocol: 'Tcp'", "protocol: 'Udp'", "from-the-network: protocol is 'Udp'"),
    (
        "network",
        "          direction: 'Inbound'\n          access: 'Allow'\n          protocol: '*'",
        "          direction: 'Outbound'\n          access: 'Allow'\n          protocol: '*'",
        "nobody-else: direction is 'Outbound'",
    ),
    ("network", "destinationPortRange: '*'", "destinationPortRange: '22'", "nobody-else: destinationPortRange is '22'"),
]
