// The package, the host's leases, the ledger, its backups and the reports. No key opens it: only granted identities.

import { reach, tagSet } from '../types.bicep'

@description('Where it lives.')
param location string

@description('Its name.')
@minLength(3)
@maxLength(24)
param name string

@description('Tags of every resource.')
param tags tagSet

@description('From where it is reached.')
param access reach

@description('Days that a backup of the ledger is kept.')
@minValue(1)
@maxValue(365)
param backupDays int

@description('The workspace that gets the audit log.')
param workspaceId string

// The host would make its own two itself; made here, its rights can end at them.
var containers = ['deployment', 'azure-webjobs-hosts', 'azure-webjobs-secrets', 'reports', 'backups']

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
    publicNetworkAccess: access.private && empty(access.addresses) ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: access.private ? 'Deny' : 'Allow'
      // Storage wants a single address without its mask.
      ipRules: [for address in access.addresses: { value: replace(address, '/32', ''), action: 'Allow' }]
    }
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

  resource lifecycle 'managementPolicies' = {
    name: 'default'
    properties: {
      policy: {
        rules: [
          {
            name: 'old-backups'
            type: 'Lifecycle'
            enabled: true
            definition: {
              filters: { blobTypes: ['blockBlob'], prefixMatch: ['backups/'] }
              actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: backupDays } } }
            }
          }
        ]
      }
    }
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

// Reads and writes are left out: the host renews its leases every few seconds.
#disable-next-line use-recent-api-versions // the stable version is of 2016 and cannot name a setting
resource auditOfBlobs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'audit'
  scope: account::blobs
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'StorageDelete', enabled: true }]
  }
}

@description('Its resource id.')
output id string = account.id
