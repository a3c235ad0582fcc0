// One page: does it flow, how late, what fails, what drifts, what Dynamics still allows.

import { tagSet } from '../types.bicep'

@description('Where it lives.')
param location string

@description('Tags of every resource.')
param tags tagSet

@description('The workspace that the queries read.')
param workspaceId string

@description('The Service Bus namespace, whose metrics are shown as they are: logs have no queue names.')
param namespaceId string

@description('Where people read docs/runbook.md.')
param runbookUrl string

var text = loadTextContent('../workbooks/sync.json')

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, 'energy-sync')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Energy CMMS and Dynamics 365'
    category: 'workbook'
    sourceId: workspaceId
    version: '1.0'
    serializedData: replace(
      replace(replace(text, '__WORKSPACE__', workspaceId), '__NAMESPACE__', namespaceId),
      '__RUNBOOK__',
      runbookUrl
    )
  }
}
