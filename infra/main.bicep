// A complete installation: docs/deploy.md leads through it, docs/security.md says why it is as it is.
targetScope = 'subscription'

import { alertThresholds, cmmsSettings, dynamicsSettings, scaleSettings, syncSettings } from 'types.bicep'

@description('A name for this installation, such as energy-prod; the resource group and all names follow from it.')
@minLength(1)
@maxLength(40)
param environmentName string

@description('The region of every resource. It must offer Flex Consumption and have availability zones.')
@minLength(1)
param location string

@description('How the functions reach Dynamics 365.')
param dynamics dynamicsSettings

@description('How the functions reach the CMMS, and who the CMMS is.')
param cmms cmmsSettings = { baseUrl: '', principalId: '' }

@description('What is compared and when.')
param sync syncSettings = {
  mapping: ''
  reconcileMinutes: 15
  settleSeconds: 120
  fullEveryHours: 24
  maximumRepairs: 10000
  mode: 'repair'
  reportDays: 30
}

@description('How the function app grows.')
param scale scaleSettings = { maximumInstances: 40, instanceMemory: 2048, targetBased: false }

@description('When people are called.')
param thresholds alertThresholds = { backlogMinutes: 30, failurePercent: 10, throttles: 100 }

@description('Who is called: an e-mail address. Empty: alerts only show in the portal.')
param alertEmail string = ''

@description('Where your people read docs/runbook.md; every alert links to its section there.')
@minLength(1)
param runbookUrl string = 'docs/runbook.md'

@description('The object id of the group (or user) that runs it: may set secrets, replay what is parked, ask for a resync. Empty: nobody yet.')
param operatorsPrincipalId string = ''

@description('What operatorsPrincipalId is.')
param operatorsPrincipalType 'Group' | 'User' | 'ServicePrincipal' = 'Group'

@description('Service tags whose addresses may call, such as AzureCloud, which is every customer of Azure. Empty: anybody may, and must authenticate.')
param allowedServiceTags string[] = []

@description('How far the host\'s storage role reaches: its own two containers, or the account if a later host needs more.')
param hostStorageScope 'containers' | 'account' = 'containers'

@description('Days that logs are kept.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 30

var token = uniqueString(subscription().id, environmentName, location)
var tags = { 'azd-env-name': environmentName }
var names = {
  identity: 'id-energy-sync-${token}'
  workspace: 'log-energy-sync-${token}'
  insights: 'appi-energy-sync-${token}'
  storage: 'stsync${token}'
  namespace: 'sb-energy-sync-${token}'
  vault: 'kv-sync-${token}'
}

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

// One identity for everything that the functions do.
module identity 'modules/identity.bicep' = {
  scope: group
  params: { location: location, name: names.identity, tags: tags }
}

// First of all, so that the others' audit logs have somewhere to go.
module monitoring 'modules/monitoring.bicep' = {
  scope: group
  params: {
    location: location
    workspaceName: names.workspace
    insightsName: names.insights
    tags: tags
    retentionDays: logRetentionDays
  }
}

// The package, the host's leases and the ledger.
module storage 'modules/storage.bicep' = {
  scope: group
  params: { location: location, name: names.storage, tags: tags, workspaceId: monitoring.outputs.workspaceId }
}

// What waits to be synced, and what waits for a person.
module serviceBus 'modules/service-bus.bicep' = {
  scope: group
  params: { location: location, name: names.namespace, tags: tags, workspaceId: monitoring.outputs.workspaceId }
}

// The webhook's shared secret and the CMMS's token; nothing in Azure itself needs a secret.
module vault 'modules/key-vault.bicep' = {
  scope: group
  params: { location: location, name: names.vault, tags: tags, workspaceId: monitoring.outputs.workspaceId }
}

// Before the app, because its first start already reads the vault and the package.
module access 'modules/access.bicep' = {
  scope: group
  dependsOn: [monitoring, storage, serviceBus, vault]
  params: {
    appName: names.identity
    appPrincipalId: identity.outputs.principalId
    cmms: { id: cmms.principalId, type: 'ServicePrincipal' }
    operators: { id: operatorsPrincipalId, type: operatorsPrincipalType }
    targetBasedScaling: scale.targetBased
    hostStorageScope: hostStorageScope
    namespaceName: names.namespace
    storageName: names.storage
    vaultName: names.vault
    insightsName: names.insights
  }
}

// The functions.
module app 'modules/function-app.bicep' = {
  scope: group
  dependsOn: [access]
  params: {
    location: location
    token: token
    tags: tags
    dynamics: dynamics
    cmms: cmms
    sync: sync
    scale: scale
    allowedServiceTags: allowedServiceTags
    identityName: names.identity
    storageName: names.storage
    serviceBusHost: serviceBus.outputs.host
    vaultName: names.vault
    insightsConnectionString: monitoring.outputs.connectionString
  }
}

// Who is called when, and where they read what to do.
module alerts 'modules/alerts.bicep' = {
  scope: group
  params: {
    location: location
    token: token
    tags: tags
    thresholds: thresholds
    reconcileMinutes: sync.reconcileMinutes
    email: alertEmail
    runbookUrl: runbookUrl
    workspaceId: monitoring.outputs.workspaceId
    namespaceId: serviceBus.outputs.id
  }
}

// One page that shows whether it works.
module workbook 'modules/workbook.bicep' = {
  scope: group
  params: {
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    namespaceId: serviceBus.outputs.id
    runbookUrl: runbookUrl
  }
}

@description('The resource group.')
output AZURE_RESOURCE_GROUP string = group.name

@description('The function app.')
output FUNCTION_APP_NAME string = app.outputs.name

@description('Where Dynamics calls.')
output WEBHOOK_URL string = '${app.outputs.url}/api/dynamics/webhook'

@description('The application (client) id of Dynamics\' application user.')
output APPLICATION_USER_CLIENT_ID string = identity.outputs.clientId

@description('The vault that waits for its secrets.')
output KEY_VAULT_NAME string = names.vault

@description('The namespace that the CMMS sends to.')
output SERVICE_BUS_HOST string = serviceBus.outputs.host
