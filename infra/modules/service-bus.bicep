// The queues. Their settings are those of shared/domain/messages/queues.py; a test compares.

import { busSettings, reach, tagSet } from '../types.bicep'

@description('Where it lives.')
param location string

@description('Its name.')
param name string

@description('Tags of every resource.')
param tags tagSet

@description('The tier.')
param settings busSettings

@description('From where it is reached.')
param access reach

@description('The workspace that gets the audit log.')
param workspaceId string

// Standard is the smallest that detects duplicates and schedules messages, and it has no private endpoints.
var tier = empty(settings.tier) ? (access.private ? 'Premium' : 'Standard') : settings.tier
var isPremium = tier == 'Premium'

// Standard gives 5 GB at no cost; Premium shares its own.
var size = isPremium ? {} : { maxSizeInMegabytes: 5120 }
var work = {
  lockDuration: 'PT5M'
  maxDeliveryCount: 10
  requiresDuplicateDetection: true
  duplicateDetectionHistoryTimeWindow: 'PT10M'
  defaultMessageTimeToLive: 'P14D'
  deadLetteringOnMessageExpiration: true
  ...size
}
var queues = [
  { name: 'assets', properties: work }
  { name: 'orders', properties: work }
  {
    name: 'parked'
    properties: {
      lockDuration: 'PT5M'
      // Looking at a parked message, and giving it back, counts as a delivery.
      maxDeliveryCount: 2000
      requiresDuplicateDetection: false
      deadLetteringOnMessageExpiration: true
      ...size
    }
  }
]

resource namespace 'Microsoft.ServiceBus/namespaces@2026-01-01' = {
  name: name
  location: location
  tags: tags
  sku: isPremium
    ? { name: 'Premium', tier: 'Premium', capacity: settings.messagingUnits }
    : { name: 'Standard', tier: 'Standard' }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: isPremium && access.private && empty(access.addresses) ? 'Disabled' : 'Enabled'
  }

  resource queue 'queues' = [
    for item in queues: {
      name: item.name
      properties: item.properties
    }
  ]

  resource rules 'networkRuleSets' = if (isPremium && access.private) {
    name: 'default'
    properties: {
      publicNetworkAccess: empty(access.addresses) ? 'Disabled' : 'Enabled'
      defaultAction: 'Deny'
      trustedServiceAccessEnabled: true
      ipRules: [for address in access.addresses: { ipMask: address, action: 'Allow' }]
    }
  }
}

#disable-next-line use-recent-api-versions // the stable version is of 2016 and cannot name a setting
resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'audit'
  scope: namespace
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'OperationalLogs', enabled: true }]
  }
}

@description('Its resource id, for alerts, the workbook and a private endpoint.')
output id string = namespace.id
