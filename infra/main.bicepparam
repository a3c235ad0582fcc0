using './main.bicep'

// From the environment: azd's, a pipeline's or a shell's. docs/deploy.md lists the names.
param environmentName = readEnvironmentVariable('AZURE_ENV_NAME')
param location = readEnvironmentVariable('AZURE_LOCATION')

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

param scale = {
  maximumInstances: int(readEnvironmentVariable('MAXIMUM_INSTANCES', '40'))
  instanceMemory: { '512': 512, '2048': 2048, '4096': 4096 }[readEnvironmentVariable('INSTANCE_MEMORY', '2048')]
  targetBased: bool(readEnvironmentVariable('TARGET_BASED_SCALING', 'false'))
}

param thresholds = {
  backlogMinutes: int(readEnvironmentVariable('ALERT_BACKLOG_MINUTES', '30'))
  failurePercent: int(readEnvironmentVariable('ALERT_FAILURE_PERCENT', '10'))
  throttles: int(readEnvironmentVariable('ALERT_THROTTLES', '100'))
}

param alertEmail = readEnvironmentVariable('ALERT_EMAIL', '')
param runbookUrl = readEnvironmentVariable('RUNBOOK_URL', 'docs/runbook.md')
param operatorsPrincipalId = readEnvironmentVariable('OPERATORS_PRINCIPAL_ID', '')
param operatorsPrincipalType = readEnvironmentVariable('OPERATORS_PRINCIPAL_TYPE', 'Group')
param allowedServiceTags = json(readEnvironmentVariable('ALLOWED_SERVICE_TAGS', '[]'))
param hostStorageScope = readEnvironmentVariable('HOST_STORAGE_SCOPE', 'containers')
param logRetentionDays = int(readEnvironmentVariable('LOG_RETENTION_DAYS', '30'))
