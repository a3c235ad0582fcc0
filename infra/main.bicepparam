using './main.bicep'

// From the environment: azd's, a pipeline's or a shell's. docs/deploy.md lists the names.
param environmentName = readEnvironmentVariable('AZURE_ENV_NAME')
param location = readEnvironmentVariable('AZURE_LOCATION')
param cloud = readEnvironmentVariable('AZURE_CLOUD', 'AzureCloud')
param namePrefix = readEnvironmentVariable('NAME_PREFIX', 'energy-sync')
param extraTags = json(readEnvironmentVariable('TAGS', '{}'))

param dynamics = {
  resourceUrl: readEnvironmentVariable('DYNAMICS_365_RESOURCE_URL')
  organizationId: readEnvironmentVariable('DYNAMICS_365_ORGANIZATION_ID', '')
  apiVersion: readEnvironmentVariable('DYNAMICS_365_API_VERSION', '9.2')
  baseUrl: readEnvironmentVariable('DYNAMICS_365_BASE_URL', '')
  webhookHeader: readEnvironmentVariable('DYNAMICS_365_WEBHOOK_HEADER', 'x-webhook-key')
  acceptPreviousWebhookKey: bool(readEnvironmentVariable('ACCEPT_PREVIOUS_WEBHOOK_KEY', 'false'))
  tenantId: readEnvironmentVariable('DYNAMICS_365_TENANT_ID', '')
  clientId: readEnvironmentVariable('DYNAMICS_365_CLIENT_ID', '')
}

param cmms = {
  baseUrl: readEnvironmentVariable('CMMS_BASE_URL', '')
  principalId: readEnvironmentVariable('CMMS_PRINCIPAL_ID', '')
}

param sync = {
  mapping: readEnvironmentVariable('SYNC_MAPPING', '')
  reconcileMinutes: { '5': 5, '15': 15, '30': 30, '60': 60, '120': 120 }[readEnvironmentVariable(
    'RECONCILE_MINUTES',
    '15'
  )]
  settleSeconds: int(readEnvironmentVariable('RECONCILE_SETTLE_SECONDS', '120'))
  fullEveryHours: int(readEnvironmentVariable('RECONCILE_FULL_EVERY', '24'))
  maximumRepairs: int(readEnvironmentVariable('RECONCILE_MAX_REPAIRS', '10000'))
  mode: readEnvironmentVariable('RECONCILE_MODE', 'repair')
  reportDays: int(readEnvironmentVariable('REPORT_RETENTION_DAYS', '30'))
}

// 12 instances of each of the two queues' functions, with 2 requests at a time each, are 48 of the 52 that Dataverse takes
// from one user. https://learn.microsoft.com/power-apps/developer/data-platform/api-limits
param scale = {
  maximumInstances: int(readEnvironmentVariable('MAXIMUM_INSTANCES', '12'))
  instanceMemory: { '512': 512, '2048': 2048, '4096': 4096 }[readEnvironmentVariable('INSTANCE_MEMORY', '2048')]
  webhooksPerInstance: int(readEnvironmentVariable('WEBHOOKS_PER_INSTANCE', '16'))
  alwaysReady: int(readEnvironmentVariable('ALWAYS_READY', '0'))
  targetBased: bool(readEnvironmentVariable('TARGET_BASED_SCALING', 'false'))
  zoneRedundant: bool(readEnvironmentVariable('ZONE_REDUNDANT', 'false'))
}

param bus = {
  tier: readEnvironmentVariable('SERVICE_BUS_TIER', '')
  messagingUnits: { '1': 1, '2': 2, '4': 4, '8': 8, '16': 16 }[readEnvironmentVariable('SERVICE_BUS_UNITS', '1')]
}

param vault = {
  retentionDays: int(readEnvironmentVariable('VAULT_RETENTION_DAYS', '90'))
  purgeProtection: bool(readEnvironmentVariable('VAULT_PURGE_PROTECTION', 'true'))
  recover: bool(readEnvironmentVariable('VAULT_RECOVER', 'false'))
}

param network = {
  private: bool(readEnvironmentVariable('PRIVATE_NETWORK', 'false'))
  addressPrefix: readEnvironmentVariable('NETWORK_ADDRESS_PREFIX', '10.90.0.0/24')
  integrationSubnetId: readEnvironmentVariable('INTEGRATION_SUBNET_ID', '')
  endpointsSubnetId: readEnvironmentVariable('ENDPOINTS_SUBNET_ID', '')
  privateDns: readEnvironmentVariable('PRIVATE_DNS', 'here')
  monitoring: bool(readEnvironmentVariable('PRIVATE_MONITORING', 'true'))
  publicQueries: bool(readEnvironmentVariable('PUBLIC_QUERIES', 'false'))
  fixedOutboundAddress: bool(readEnvironmentVariable('FIXED_OUTBOUND_ADDRESS', 'false'))
  administrators: json(readEnvironmentVariable('ADMINISTRATOR_CIDRS', '[]'))
}

param callers = {
  public: bool(readEnvironmentVariable('PUBLIC_WEBHOOK', 'true'))
  serviceTags: json(readEnvironmentVariable('ALLOWED_SERVICE_TAGS', '[]'))
  cidrs: json(readEnvironmentVariable('ALLOWED_CIDRS', '[]'))
  frontDoorId: readEnvironmentVariable('FRONT_DOOR_ID', '')
}

param existing = {
  workspaceId: readEnvironmentVariable('EXISTING_WORKSPACE_ID', '')
  vaultId: readEnvironmentVariable('EXISTING_VAULT_ID', '')
  actionGroupIds: json(readEnvironmentVariable('EXISTING_ACTION_GROUP_IDS', '[]'))
}

param thresholds = {
  backlogMinutes: int(readEnvironmentVariable('ALERT_BACKLOG_MINUTES', '30'))
  failurePercent: int(readEnvironmentVariable('ALERT_FAILURE_PERCENT', '10'))
  throttles: int(readEnvironmentVariable('ALERT_THROTTLES', '100'))
}

param receivers = {
  emails: json(readEnvironmentVariable('ALERT_EMAILS', '[]'))
  webhooks: json(readEnvironmentVariable('ALERT_WEBHOOKS', '[]'))
}

param costs = {
  monthlyBudget: int(readEnvironmentVariable('MONTHLY_BUDGET', '0'))
  budgetStart: readEnvironmentVariable('BUDGET_START', '')
  dailyLogGigabytes: int(readEnvironmentVariable('DAILY_LOG_GIGABYTES', '5'))
}

param runbookUrl = readEnvironmentVariable('RUNBOOK_URL', 'docs/runbook.md')
param operatorsPrincipalId = readEnvironmentVariable('OPERATORS_PRINCIPAL_ID', '')
param operatorsPrincipalType = readEnvironmentVariable('OPERATORS_PRINCIPAL_TYPE', 'Group')
param hostStorageScope = readEnvironmentVariable('HOST_STORAGE_SCOPE', 'containers')
param logRetentionDays = int(readEnvironmentVariable('LOG_RETENTION_DAYS', '30'))
param backupDays = int(readEnvironmentVariable('BACKUP_RETENTION_DAYS', '30'))
param hostLogs = bool(readEnvironmentVariable('HOST_LOGS', 'true'))
