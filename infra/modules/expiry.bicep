// Certificates and secrets with an end are announced by the vault 30 days before it.
// https://learn.microsoft.com/azure/event-grid/handler-azure-monitor-alerts

import { tagSet } from '../types.bicep'

@description('Where it lives: where the vault is.')
param location string

@description('What every name ends in.')
@minLength(13)
param suffix string

@description('Tags of every resource.')
param tags tagSet

@description('The vault.')
param vaultId string

@description('Who is called.')
@minLength(1)
param actionGroupIds string[]

@description('Where people read docs/runbook.md.')
param runbookUrl string

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' = {
  name: 'evgt-${suffix}'
  location: location
  tags: tags
  properties: { source: vaultId, topicType: 'Microsoft.KeyVault.vaults' }

  resource subscription 'eventSubscriptions' = {
    name: 'expiry'
    properties: {
      // The only form that an alert takes.
      eventDeliverySchema: 'CloudEventSchemaV1_0'
      filter: {
        includedEventTypes: [
          'Microsoft.KeyVault.CertificateNearExpiry'
          'Microsoft.KeyVault.CertificateExpired'
          'Microsoft.KeyVault.SecretNearExpiry'
          'Microsoft.KeyVault.SecretExpired'
        ]
      }
      destination: {
        endpointType: 'MonitorAlert'
        properties: {
          severity: 'Sev1'
          description: 'A certificate or secret ends within 30 days. What to do: ${runbookUrl}#expiry'
          actionGroups: actionGroupIds
        }
      }
    }
  }
}
