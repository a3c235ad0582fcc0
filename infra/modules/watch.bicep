// Who is called when, where they see whether it works, and what it may cost.

import { cloudName, testLocations } from '../clouds.bicep'
import { alertReceivers, alertThresholds, costLimits, reconcileInterval, tagSet } from '../types.bicep'

@description('Where it lives.')
param location string

@description('What every name ends in.')
@minLength(13)
param suffix string

@description('Tags of every resource.')
param tags tagSet

@description('The cloud, which decides from where it is asked whether the app is well.')
param cloud cloudName

@description('Who is called.')
param receivers alertReceivers

@description('Action groups that are there already and called, too.')
param existingActionGroupIds string[]

@description('From when on people are called.')
param thresholds alertThresholds

@description('What it may cost.')
param costs costLimits

@description('Minutes between two runs of the reconciliation.')
param reconcileMinutes reconcileInterval

@description('Where people read docs/runbook.md.')
param runbookUrl string

@description('The workspace that holds the functions\' metrics and requests.')
param workspaceId string

@description('Whether the workspace is ours, and so its cap.')
param isOwnWorkspace bool

@description('Application Insights.')
param insightsId string

@description('The Service Bus namespace.')
param namespaceId string

@description('The vault, where it is ours: then its certificates are watched. Empty: it is not.')
param vaultId string

@description('The app\'s address.')
param url string

@description('Whether the app can be asked from outside.')
param isPublic bool

var hasReceivers = !empty(receivers.emails) || !empty(receivers.webhooks)

module people 'receivers.bicep' = if (hasReceivers) {
  params: { suffix: suffix, tags: tags, receivers: receivers }
}

var called = concat(hasReceivers ? [people!.outputs.id] : [], existingActionGroupIds)

module alerts 'alerts.bicep' = {
  params: {
    location: location
    suffix: suffix
    tags: tags
    thresholds: thresholds
    reconcileMinutes: reconcileMinutes
    actionGroupIds: called
    runbookUrl: runbookUrl
    workspaceId: workspaceId
    namespaceId: namespaceId
    isCapped: isOwnWorkspace && costs.dailyLogGigabytes >= 0
  }
}

module availability 'availability.bicep' = if (isPublic) {
  params: {
    location: location
    suffix: suffix
    tags: tags
    url: url
    insightsId: insightsId
    actionGroupIds: called
    runbookUrl: runbookUrl
    locations: testLocations[cloud]
  }
}

// Nobody to tell: then Azure refuses the subscription.
module expiry 'expiry.bicep' = if (!empty(vaultId) && (hasReceivers || !empty(existingActionGroupIds))) {
  params: {
    location: location
    suffix: suffix
    tags: tags
    vaultId: vaultId
    actionGroupIds: called
    runbookUrl: runbookUrl
  }
}

module budget 'budget.bicep' = if (costs.monthlyBudget > 0) {
  params: { suffix: suffix, limits: costs, emails: receivers.emails, actionGroupIds: called }
}

module workbook 'workbook.bicep' = {
  params: {
    location: location
    tags: tags
    workspaceId: workspaceId
    namespaceId: namespaceId
    runbookUrl: runbookUrl
  }
}
