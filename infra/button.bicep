// What the Deploy to Azure button asks for: the few questions of a first installation. Everything else keeps the default of
// main.bicepparam. infra/azuredeploy.json is compiled from it ('make template').
targetScope = 'subscription'

@description('A name for this installation, such as energy-prod.')
@minLength(1)
@maxLength(40)
param environmentName string

@description('The region: it must offer Flex Consumption and have availability zones.')
param location string = deployment().location

@description('The organization\'s address, such as https://contoso.crm.dynamics.com.')
@minLength(1)
param dynamicsUrl string

@description('The object id of the group that runs it (Entra ID, Groups, Object Id). Empty: nobody yet.')
param operatorsGroupId string = ''

@description('The CMMS\'s address. Empty: one-way mode.')
param cmmsUrl string = ''

@description('Who is called when something is wrong. Empty: alerts show in the portal only.')
param alertEmail string = ''

@description('Whether everything but the webhook is reached through a private network only (Service Bus Premium, which costs much more).')
param privateNetwork bool = false

@description('Where your people read docs/runbook.md.')
param runbookUrl string = 'docs/runbook.md'

module installation 'main.bicep' = {
  params: {
    environmentName: environmentName
    location: location
    dynamics: {
      resourceUrl: dynamicsUrl
      organizationId: ''
      apiVersion: '9.2'
      baseUrl: ''
      webhookHeader: 'x-webhook-key'
      acceptPreviousWebhookKey: false
      tenantId: ''
      clientId: ''
    }
    cmms: { baseUrl: cmmsUrl, principalId: '' }
    sync: {
      mapping: ''
      reconcileMinutes: 15
      settleSeconds: 120
      fullEveryHours: 24
      maximumRepairs: 10000
      mode: 'repair'
      reportDays: 30
    }
    scale: {
      maximumInstances: 12
      instanceMemory: 2048
      webhooksPerInstance: 16
      alwaysReady: 0
      targetBased: false
      zoneRedundant: false
    }
    bus: { tier: '', messagingUnits: 1 }
    vault: { retentionDays: 90, purgeProtection: true, recover: false }
    network: {
      private: privateNetwork
      addressPrefix: '10.90.0.0/24'
      integrationSubnetId: ''
      endpointsSubnetId: ''
      privateDns: 'here'
      monitoring: true
      publicQueries: false
      fixedOutboundAddress: false
      administrators: []
    }
    callers: { public: true, serviceTags: [], cidrs: [], frontDoorId: '' }
    existing: { workspaceId: '', vaultId: '', actionGroupIds: [] }
    thresholds: { backlogMinutes: 30, failurePercent: 10, throttles: 100 }
    receivers: { emails: empty(alertEmail) ? [] : [alertEmail], webhooks: [] }
    costs: { monthlyBudget: 0, budgetStart: '', dailyLogGigabytes: 5 }
    runbookUrl: runbookUrl
    operatorsPrincipalId: operatorsGroupId
    operatorsPrincipalType: 'Group'
    hostStorageScope: 'containers'
    logRetentionDays: 30
    backupDays: 30
    hostLogs: true
  }
}

@description('The resource group.')
output AZURE_RESOURCE_GROUP string = installation.outputs.AZURE_RESOURCE_GROUP

@description('The function app.')
output FUNCTION_APP_NAME string = installation.outputs.FUNCTION_APP_NAME

@description('Where Dynamics calls.')
output WEBHOOK_URL string = installation.outputs.WEBHOOK_URL

@description('The application (client) id of Dynamics\' application user.')
output APPLICATION_USER_CLIENT_ID string = installation.outputs.APPLICATION_USER_CLIENT_ID

@description('The vault that waits for its secrets.')
output KEY_VAULT_NAME string = installation.outputs.KEY_VAULT_NAME
