// The queues. Their settings are those of shared/domain/queues.py; a test compares.

import { tagSet } from '../types.bicep'

@description('Where it lives.')
param location string

@description('Its name.')
param name string

@description('Tags of every resource.')
param tags tagSet

@description('The workspace that gets the audit log.')
param workspaceId string

var work = {
  lockDuration: 'PT5M'
  maxDeliveryCount: 10
  requiresDuplicateDetection: true
  duplicateDetectionHistoryTimeWindow: 'PT10M'
  defaultMessageTimeToLive: 'P14D'
  deadLetteringOnMessageExpiration: true
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
    }
  }
]

// Standard is the smallest that detects duplicates and schedules messages.
resource namespace 'Microsoft.ServiceBus/namespaces@2026-01-01' = {
  name: name
  location: location
  tags: tags
  sku: { name: 'Standard', tier: 'Standard' }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: 'Enabled'
  }

  resource queue 'queues' = [
    for item in queues: {
      name: item.name
      properties: item.properties
    }
  ]
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

@description('Its resource id, for alerts and the workbook.')
output id string = namespace.id

@description('Its host name.')
output host string = split(split(namespace.properties.serviceBusEndpoint, '://')[1], ':')[0]
