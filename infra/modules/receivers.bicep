// Who is called.

import { alertReceivers, tagSet } from '../types.bicep'

@description('What every name ends in.')
@minLength(13)
param suffix string

@description('Tags of every resource.')
param tags tagSet

@description('Who is called.')
param receivers alertReceivers

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-${suffix}'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'energysync'
    emailReceivers: [
      for (email, i) in receivers.emails: { name: 'email-${i}', emailAddress: email, useCommonAlertSchema: true }
    ]
    webhookReceivers: [
      for (address, i) in receivers.webhooks: {
        name: 'webhook-${i}'
        serviceUri: address
        useCommonAlertSchema: true
      }
    ]
  }
}

@description('Its resource id.')
output id string = people.id
