// Who may do what: per queue, container and table, each the smallest role that does the work. docs/security.md tells why.

import { principal } from '../types.bicep'

@description('The functions\' identity: object id.')
param appPrincipalId string

@description('The CMMS. Empty id: none yet.')
param cmms principal

@description('The people who run it, with the operator\'s command line. Empty id: none yet.')
param operators principal

@description('Whether the scale controller reads the queues\' lengths, with the functions\' identity.')
param targetBasedScaling bool

@description('How far the host\'s storage role reaches: the host\'s own two containers, or the account.')
param hostStorageScope 'containers' | 'account'

@description('The Service Bus namespace.')
param namespaceName string

@description('The storage account.')
param storageName string

@description('Application Insights.')
param insightsName string

// The names of role assignments are made of the ids of those who are granted: an identity that was made anew has a new
// id, and an assignment of its old name could not be given to it.
var principals = {
  app: { id: appPrincipalId, type: 'ServicePrincipal' }
  cmms: cmms
  operators: operators
}
var roles = {
  serviceBusDataSender: '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39'
  serviceBusDataReceiver: '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0'
  serviceBusDataOwner: '090c5cfd-751d-490a-894a-3ce6f1109419'
  storageBlobDataContributor: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  storageBlobDataReader: '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'
  storageBlobDataOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  storageTableDataContributor: '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
  monitoringMetricsPublisher: '3913510d-42f4-4e42-8a64-420c390055eb'
}

var queueGrants = concat(
  [
    // Receives work and dead letters, sends retries, repairs and what the webhook accepted.
    { to: 'app', queue: 'assets', role: roles.serviceBusDataReceiver }
    { to: 'app', queue: 'assets', role: roles.serviceBusDataSender }
    { to: 'app', queue: 'orders', role: roles.serviceBusDataReceiver }
    { to: 'app', queue: 'orders', role: roles.serviceBusDataSender }
    { to: 'app', queue: 'parked', role: roles.serviceBusDataSender }
    // Looks how long the oldest parked message has waited.
    { to: 'app', queue: 'parked', role: roles.serviceBusDataReceiver }
  ],
  targetBasedScaling
    ? [
        { to: 'app', queue: 'assets', role: roles.serviceBusDataOwner }
        { to: 'app', queue: 'orders', role: roles.serviceBusDataOwner }
      ]
    : [],
  // Operators may send already, and one grant cannot be made twice.
  empty(cmms.id) || cmms.id == operators.id
    ? []
    : [
        { to: 'cmms', queue: 'assets', role: roles.serviceBusDataSender }
        { to: 'cmms', queue: 'orders', role: roles.serviceBusDataSender }
      ],
  empty(operators.id)
    ? []
    : [
        // Look at what waits and at dead letters, replay what is parked, and ask for a resync and follow it.
        { to: 'operators', queue: 'parked', role: roles.serviceBusDataReceiver }
        { to: 'operators', queue: 'assets', role: roles.serviceBusDataReceiver }
        { to: 'operators', queue: 'orders', role: roles.serviceBusDataReceiver }
        { to: 'operators', queue: 'assets', role: roles.serviceBusDataSender }
        { to: 'operators', queue: 'orders', role: roles.serviceBusDataSender }
      ]
)
var containerGrants = concat(
  [
    { to: 'app', container: 'deployment', role: roles.storageBlobDataContributor }
    { to: 'app', container: 'reports', role: roles.storageBlobDataContributor }
    { to: 'app', container: 'backups', role: roles.storageBlobDataContributor }
  ],
  hostStorageScope == 'containers'
    ? [
        { to: 'app', container: 'azure-webjobs-hosts', role: roles.storageBlobDataOwner }
        { to: 'app', container: 'azure-webjobs-secrets', role: roles.storageBlobDataOwner }
      ]
    : [],
  empty(operators.id)
    ? []
    : [
        { to: 'operators', container: 'reports', role: roles.storageBlobDataReader }
        // Take a backup before something risky, and restore one.
        { to: 'operators', container: 'backups', role: roles.storageBlobDataContributor }
      ]
)
var ledgerGrants = empty(operators.id) ? ['app'] : ['app', 'operators']

resource namespace 'Microsoft.ServiceBus/namespaces@2026-01-01' existing = {
  name: namespaceName
}

resource queues 'Microsoft.ServiceBus/namespaces/queues@2026-01-01' existing = [
  for grant in queueGrants: {
    parent: namespace
    name: grant.queue
  }
]

resource onQueue 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (grant, i) in queueGrants: {
    name: guid(queues[i].id, principals[grant.to].id, grant.role)
    scope: queues[i]
    properties: {
      principalId: principals[grant.to].id
      principalType: principals[grant.to].type
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', grant.role)
    }
  }
]

resource account 'Microsoft.Storage/storageAccounts@2026-06-01' existing = {
  name: storageName

  resource blobs 'blobServices' existing = {
    name: 'default'
  }

  resource tables 'tableServices' existing = {
    name: 'default'

    resource ledger 'tables' existing = {
      name: 'ledger'
    }
  }
}

resource containers 'Microsoft.Storage/storageAccounts/blobServices/containers@2026-06-01' existing = [
  for grant in containerGrants: {
    parent: account::blobs
    name: grant.container
  }
]

resource onContainer 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (grant, i) in containerGrants: {
    name: guid(containers[i].id, principals[grant.to].id, grant.role)
    scope: containers[i]
    properties: {
      principalId: principals[grant.to].id
      principalType: principals[grant.to].type
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', grant.role)
    }
  }
]

resource onAccount 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (hostStorageScope == 'account') {
  name: guid(account.id, appPrincipalId, roles.storageBlobDataOwner)
  scope: account
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataOwner)
  }
}

resource onLedger 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for to in ledgerGrants: {
    name: guid(account::tables::ledger.id, principals[to].id, roles.storageTableDataContributor)
    scope: account::tables::ledger
    properties: {
      principalId: principals[to].id
      principalType: principals[to].type
      roleDefinitionId: subscriptionResourceId(
        'Microsoft.Authorization/roleDefinitions',
        roles.storageTableDataContributor
      )
    }
  }
]

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource onInsights 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, appPrincipalId, roles.monitoringMetricsPublisher)
  scope: insights
  properties: {
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.monitoringMetricsPublisher
    )
  }
}
