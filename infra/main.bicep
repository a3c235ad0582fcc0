// A complete installation: docs/deploy.md leads through it, docs/security.md says why it is as it is.
targetScope = 'subscription'

import { cloudName, clouds } from 'clouds.bicep'
import {
  alertReceivers
  alertThresholds
  busSettings
  callerSettings
  cmmsSettings
  costLimits
  dynamicsSettings
  existingResources
  networkSettings
  scaleSettings
  syncSettings
  tagSet
  vaultSettings
} from 'types.bicep'

@description('A name for this installation, such as energy-prod; the resource group and all names follow from it.')
@minLength(1)
@maxLength(40)
param environmentName string

@description('The region of every resource. It must offer Flex Consumption and have availability zones.')
@minLength(1)
param location string

@description('The cloud that location is in.')
param cloud cloudName = 'AzureCloud'

@description('What every name begins with, after its kind: lower-case letters, digits and hyphens, a letter first.')
@minLength(2)
@maxLength(20)
param namePrefix string = 'energy-sync'

@description('Tags of every resource, beside azd\'s own.')
param extraTags { *: string } = {}

@description('How the functions reach Dynamics 365.')
param dynamics dynamicsSettings

@description('How the functions reach the CMMS, and who the CMMS is.')
param cmms cmmsSettings

@description('What is compared and when.')
param sync syncSettings

@description('How the function app grows.')
param scale scaleSettings

@description('The queues\' tier.')
param bus busSettings

@description('How long the vault can be recovered.')
param vault vaultSettings

@description('The private network.')
param network networkSettings

@description('Who may call the webhook.')
param callers callerSettings

@description('What is there already.')
param existing existingResources

@description('From when on people are called.')
param thresholds alertThresholds

@description('Who is called.')
param receivers alertReceivers

@description('What it may cost.')
param costs costLimits

@description('Where your people read docs/runbook.md; every alert links to its section there.')
@minLength(1)
param runbookUrl string

@description('The object id of the group (or user) that runs it: may set secrets, replay what is parked, ask for a resync. Empty: nobody yet.')
param operatorsPrincipalId string

@description('What operatorsPrincipalId is.')
param operatorsPrincipalType 'Group' | 'User' | 'ServicePrincipal'

@description('How far the host\'s storage role reaches: its own two containers, or the account if a later host needs more.')
param hostStorageScope 'containers' | 'account'

@description('Days that logs are kept.')
@minValue(30)
@maxValue(730)
param logRetentionDays int

@description('Days that a backup of the ledger is kept.')
@minValue(1)
@maxValue(365)
param backupDays int

@description('Whether the host\'s own log is kept beside what the functions report.')
param hostLogs bool

var token = uniqueString(subscription().id, environmentName, location)
var suffix = '${namePrefix}-${token}'
var tags tagSet = union(extraTags, { 'azd-env-name': environmentName })
var hasOwnVault = empty(existing.vaultId)
var short = replace(toLower(namePrefix), '-', '')
var names = {
  identity: 'id-${suffix}'
  insights: 'appi-${suffix}'
  storage: 'st${take(short, 9)}${token}'
  namespace: 'sb-${suffix}'
  vault: hasOwnVault ? 'kv-${take(short, 7)}-${token}' : last(split(existing.vaultId, '/'))
}
var vaultSubscription = hasOwnVault ? subscription().subscriptionId : split(existing.vaultId, '/')[2]
var vaultGroup = hasOwnVault ? 'rg-${environmentName}' : split(existing.vaultId, '/')[4]
var vaultId = resourceId(vaultSubscription, vaultGroup, 'Microsoft.KeyVault/vaults', names.vault)
var reached = { private: network.private, addresses: network.private ? network.administrators : [] }
var operators = { id: operatorsPrincipalId, type: operatorsPrincipalType }

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
    workspaceName: 'log-${suffix}'
    insightsName: names.insights
    scopeName: 'ampls-${suffix}'
    tags: tags
    retentionDays: logRetentionDays
    dailyLogGigabytes: costs.dailyLogGigabytes
    existingWorkspaceId: existing.workspaceId
    network: network
  }
}

// The package, the host's leases and the ledger.
module storage 'modules/storage.bicep' = {
  scope: group
  params: {
    location: location
    name: names.storage
    tags: tags
    access: reached
    backupDays: backupDays
    workspaceId: monitoring.outputs.workspaceId
  }
}

// What waits to be synced, and what waits for a person.
module serviceBus 'modules/service-bus.bicep' = {
  scope: group
  params: {
    location: location
    name: names.namespace
    tags: tags
    settings: bus
    access: reached
    workspaceId: monitoring.outputs.workspaceId
  }
}

// The webhook's shared secret and the CMMS's token; nothing in Azure itself needs a secret.
module newVault 'modules/key-vault.bicep' = if (hasOwnVault) {
  scope: group
  params: {
    location: location
    name: names.vault
    tags: tags
    settings: vault
    access: reached
    workspaceId: monitoring.outputs.workspaceId
  }
}

// The network, if everything but the webhook is to be reached through it.
module privateNetwork 'modules/network.bicep' = if (network.private) {
  scope: group
  params: { location: location, suffix: suffix, tags: tags, settings: network }
}

// Before the app, which resolves these names when it starts. Service Bus Standard has no endpoint.
module endpoints 'modules/private-endpoints.bicep' = if (network.private) {
  scope: group
  params: {
    location: location
    suffix: suffix
    tags: tags
    cloud: cloud
    privateDns: network.privateDns
    networkId: privateNetwork!.outputs.networkId
    subnetId: privateNetwork!.outputs.endpointsSubnetId
    services: concat(
      [
        { kind: 'blob', id: storage.outputs.id }
        { kind: 'table', id: storage.outputs.id }
        { kind: 'vault', id: vaultId }
      ],
      bus.tier == 'Standard' ? [] : [{ kind: 'namespace', id: serviceBus.outputs.id }],
      network.monitoring ? [{ kind: 'azuremonitor', id: monitoring.outputs.scopeId }] : []
    )
  }
}

// Before the app, because its first start already reads the vault and the package.
module access 'modules/access.bicep' = {
  scope: group
  dependsOn: [monitoring, storage, serviceBus]
  params: {
    #disable-next-line what-if-short-circuiting // accepted: see access.bicep on the names of assignments
    appPrincipalId: identity.outputs.principalId
    cmms: { id: cmms.principalId, type: 'ServicePrincipal' }
    operators: operators
    targetBasedScaling: scale.targetBased
    hostStorageScope: hostStorageScope
    namespaceName: names.namespace
    storageName: names.storage
    insightsName: names.insights
  }
}

// An existing vault may be in another resource group.
module vaultAccess 'modules/vault-access.bicep' = {
  scope: resourceGroup(vaultSubscription, vaultGroup)
  dependsOn: [newVault]
  params: { appPrincipalId: identity.outputs.principalId, operators: operators, vaultName: names.vault }
}

// The functions.
module app 'modules/function-app.bicep' = {
  scope: group
  dependsOn: [access, vaultAccess, endpoints]
  params: {
    location: location
    suffix: suffix
    tags: tags
    cloud: cloud
    dynamics: dynamics
    cmms: cmms
    sync: sync
    scale: scale
    callers: callers
    access: reached
    subnetId: network.private ? privateNetwork!.outputs.integrationSubnetId : ''
    hostLogs: hostLogs
    workspaceId: monitoring.outputs.workspaceId
    identityName: names.identity
    storageName: names.storage
    namespaceName: names.namespace
    vaultName: names.vault
    insightsConnectionString: monitoring.outputs.connectionString
  }
}

// The way in for callers and deployments inside the network.
module appEndpoint 'modules/private-endpoints.bicep' = if (network.private) {
  scope: group
  params: {
    location: location
    suffix: suffix
    tags: tags
    cloud: cloud
    privateDns: network.privateDns
    networkId: privateNetwork!.outputs.networkId
    subnetId: privateNetwork!.outputs.endpointsSubnetId
    services: [{ kind: 'sites', id: app.outputs.id }]
  }
}

// Who is called when, where they read what to do, and what it may cost.
module watch 'modules/watch.bicep' = {
  scope: group
  params: {
    location: location
    suffix: suffix
    tags: tags
    cloud: cloud
    receivers: receivers
    existingActionGroupIds: existing.actionGroupIds
    thresholds: thresholds
    costs: costs
    reconcileMinutes: sync.reconcileMinutes
    runbookUrl: runbookUrl
    workspaceId: monitoring.outputs.workspaceId
    isOwnWorkspace: empty(existing.workspaceId)
    insightsId: monitoring.outputs.insightsId
    namespaceId: serviceBus.outputs.id
    vaultId: hasOwnVault ? vaultId : ''
    url: app.outputs.url
    isPublic: callers.public
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
output SERVICE_BUS_HOST string = '${names.namespace}.${clouds[cloud].serviceBus}'

@description('The storage account, which holds the ledger\'s backups and the reports.')
output STORAGE_ACCOUNT_NAME string = names.storage
