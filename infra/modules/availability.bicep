// Asks /api/health from outside: whether the app can be reached and has what it needs, even if it is too ill to say so.

import { tagSet } from '../types.bicep'

@description('Where it lives.')
param location string

@description('What every name ends in.')
@minLength(13)
param suffix string

@description('Tags of every resource.')
param tags tagSet

@description('The app\'s address.')
param url string

@description('Application Insights, which keeps the answers.')
param insightsId string

@description('Who is called.')
param actionGroupIds string[]

@description('Where people read docs/runbook.md.')
param runbookUrl string

@description('From where it is asked: names of test locations, which differ by cloud.')
@minLength(3)
param locations string[]

resource test 'Microsoft.Insights/webtests@2022-06-15' = {
  name: 'health-${suffix}'
  location: location
  // Application Insights finds its tests by this tag.
  tags: union(tags, { 'hidden-link:${insightsId}': 'Resource' })
  kind: 'standard'
  properties: {
    SyntheticMonitorId: 'health-${suffix}'
    Name: 'health'
    Kind: 'standard'
    Enabled: true
    Frequency: 300
    Timeout: 60
    RetryEnabled: true
    Locations: [for location in locations: { Id: location }]
    Request: { RequestUrl: '${url}/api/health', HttpVerb: 'GET', ParseDependentRequests: false }
    ValidationRules: { ExpectedHttpStatusCode: 200, SSLCheck: true, SSLCertRemainingLifetimeCheck: 7 }
  }
}

resource alert 'Microsoft.Insights/metricAlerts@2026-01-01' = {
  name: 'energy-sync-unhealthy-${suffix}'
  location: 'global'
  // The portal shows the alert beside its test by these.
  tags: union(tags, { 'hidden-link:${insightsId}': 'Resource', 'hidden-link:${test.id}': 'Resource' })
  properties: {
    description: 'The app does not answer, or is misconfigured. What to do: ${runbookUrl}#unhealthy'
    severity: 1
    enabled: true
    autoMitigate: true
    scopes: [test.id, insightsId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.WebtestLocationAvailabilityCriteria'
      webTestId: test.id
      componentId: insightsId
      // One location alone may have a bad day.
      failedLocationCount: 2
    }
    #disable-next-line use-resource-id-functions // the ids are a parameter's
    actions: [for id in actionGroupIds: { actionGroupId: id }]
  }
}
