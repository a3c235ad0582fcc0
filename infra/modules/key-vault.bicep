// The secrets that others make us keep. No template holds their values: docs/deploy.md says how they are set.

import { reach, tagSet, vaultSettings } from '../types.bicep'

@description('Where it lives.')
param location string

@description('Its name.')
param name string

@description('Tags of every resource.')
param tags tagSet

@description('How long it can be recovered.')
param settings vaultSettings

@description('From where it is reached.')
param access reach

@description('The workspace that gets the audit log.')
param workspaceId string

resource vault 'Microsoft.KeyVault/vaults@2026-05-15' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    createMode: settings.recover ? 'recover' : 'default'
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: settings.retentionDays
    // Azure takes true or nothing: false is refused.
    enablePurgeProtection: settings.purgeProtection ? true : null
    publicNetworkAccess: access.private && empty(access.addresses) ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: access.private ? 'Deny' : 'Allow'
      ipRules: [for address in access.addresses: { value: address }]
    }
  }
}

#disable-next-line use-recent-api-versions // the stable version is of 2016 and cannot name a setting
resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'audit'
  scope: vault
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'AuditEvent', enabled: true }]
  }
}

@description('Its resource id.')
output id string = vault.id
