// The package, the host's leases, the ledger and the reports. No key opens it: only granted identities.

import { tagSet } from '../types.bicep'

@description('Where it lives.')
param location string

@description('Its name.')
@minLength(3)
@maxLength(24)
param name string

@description('Tags of every resource.')
param tags tagSet

@description('The workspace that gets the audit log.')
param workspaceId string

// The host would make its own two itself; made here, its rights can end at them.
var containers = ['deployment', 'azure-webjobs-hosts', 'azure-webjobs-secrets', 'reports']

resource account 'Microsoft.Storage/storageAccounts@2026-06-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_ZRS' }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: 'Enabled'
    networkAcls: { bypass: 'AzureServices', defaultAction: 'Allow' }
  }

  resource blobs 'blobServices' = {
    name: 'default'
    properties: {
      deleteRetentionPolicy: { enabled: true, days: 7 }
      containerDeleteRetentionPolicy: { enabled: true, days: 7 }
    }

    resource container 'containers' = [
      for container in containers: {
        name: container
        properties: { publicAccess: 'None' }
      }
    ]
  }

  resource tables 'tableServices' = {
    name: 'default'

    resource ledger 'tables' = {
      name: 'ledger'
    }
  }
}

#disable-next-line use-recent-api-versions // the stable version is of 2016 and cannot name a setting
resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'audit'
  scope: account::tables
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'StorageDelete', enabled: true }]
  }
}
