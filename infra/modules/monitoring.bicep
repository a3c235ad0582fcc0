// Where logs, metrics and traces go. Only Entra identities may send.

import { networkSettings, tagSet } from '../types.bicep'

@description('Where it lives.')
param location string

@description('The workspace\'s name.')
param workspaceName string

@description('The name of Application Insights.')
param insightsName string

@description('The name of the private link scope.')
param scopeName string

@description('Tags of every resource.')
param tags tagSet

@description('Days that logs are kept.')
@minValue(30)
@maxValue(730)
param retentionDays int

@description('Gigabytes of logs a day, from which on no more are taken in. -1: no cap.')
@minValue(-1)
param dailyLogGigabytes int

@description('A workspace that is there already. Empty: one is made.')
param existingWorkspaceId string

@description('The network.')
param network networkSettings

var isPrivate = network.private && network.monitoring
var ingestion = isPrivate ? 'Disabled' : 'Enabled'
var queries = isPrivate && !network.publicQueries ? 'Disabled' : 'Enabled'

resource workspace 'Microsoft.OperationalInsights/workspaces@2026-03-01' = if (empty(existingWorkspaceId)) {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: retentionDays
    workspaceCapping: { dailyQuotaGb: dailyLogGigabytes }
    features: { disableLocalAuth: true, enableLogAccessUsingOnlyResourcePermissions: true }
    publicNetworkAccessForIngestion: ingestion
    publicNetworkAccessForQuery: queries
  }
}

var usedWorkspaceId = empty(existingWorkspaceId) ? workspace.id : existingWorkspaceId

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: insightsName
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: usedWorkspaceId
    DisableLocalAuth: true
    publicNetworkAccessForIngestion: ingestion
    publicNetworkAccessForQuery: queries
  }
}

resource scope 'Microsoft.Insights/privateLinkScopes@2021-09-01' = if (isPrivate) {
  name: scopeName
  location: 'global'
  tags: tags
  properties: {
    accessModeSettings: {
      ingestionAccessMode: 'PrivateOnly'
      // People in the network also read other workspaces.
      queryAccessMode: 'Open'
    }
  }

  resource ofInsights 'scopedResources' = {
    name: 'insights'
    properties: { linkedResourceId: insights.id }
  }

  resource ofWorkspace 'scopedResources' = {
    name: 'workspace'
    // The scope takes one change at a time.
    dependsOn: [ofInsights]
    properties: { linkedResourceId: usedWorkspaceId }
  }
}

@description('The workspace\'s resource id.')
output workspaceId string = usedWorkspaceId

@description('The resource id of Application Insights.')
output insightsId string = insights.id

@description('The resource id of the private link scope. Empty: there is none.')
output scopeId string = isPrivate ? scope.id : ''

@description('Where telemetry is sent: an address, no secret, since local authentication is off.')
output connectionString string = insights.properties.ConnectionString
