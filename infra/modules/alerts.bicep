// Who is called when. Every alert ends in the address of what to do; a test looks the section up.

import { alertThresholds, reconcileInterval, tagSet } from '../types.bicep'

@description('Where the rules live.')
param location string

@description('What every name ends in.')
@minLength(13)
param suffix string

@description('Tags of every resource.')
param tags tagSet

@description('From when on people are called.')
param thresholds alertThresholds

@description('Minutes between two runs of the reconciliation.')
param reconcileMinutes reconcileInterval

@description('Who is called. Empty: nobody, the portal shows it.')
param actionGroupIds string[]

@description('Where people read docs/runbook.md.')
param runbookUrl string

@description('The workspace that holds the functions\' metrics and requests.')
param workspaceId string

@description('The Service Bus namespace.')
param namespaceId string

@description('Whether the workspace has a cap, which then must be told of.')
param isCapped bool

var silence = 2 * reconcileMinutes

// Metrics of Service Bus itself: they need no log, arrive within minutes, and come even if the app is dead.
var busAlerts = [
  {
    name: 'dead-letters'
    severity: 1
    title: 'A message was given up by the queue itself.'
    metric: 'DeadletteredMessages'
    queues: ['assets', 'orders', 'parked']
    aggregation: 'Maximum'
    window: 'PT5M'
    above: 0
  }
  {
    name: 'parked'
    severity: 2
    title: 'Messages wait for a person.'
    metric: 'ActiveMessages'
    queues: ['parked']
    aggregation: 'Maximum'
    window: 'PT5M'
    above: 0
  }
  {
    // A message that waits for its next attempt is scheduled, and not active.
    name: 'not-taken'
    severity: 1
    title: 'A queue was not empty for a whole hour: the functions do not take messages, or too few.'
    metric: 'ActiveMessages'
    queues: ['assets', 'orders']
    aggregation: 'Minimum'
    window: 'PT1H'
    above: 0
  }
  {
    name: 'bus-errors'
    severity: 2
    title: 'Service Bus failed on its own side.'
    metric: 'ServerErrors'
    queues: []
    aggregation: 'Total'
    window: 'PT15M'
    above: 10
  }
  {
    name: 'bus-throttled'
    severity: 2
    title: 'Service Bus refuses requests because there are too many.'
    metric: 'ThrottledRequests'
    queues: []
    aggregation: 'Total'
    window: 'PT15M'
    above: 10
  }
]

// Queries over what the functions report; shared/telemetry.py names it. Each answers one row: the value.
var functionAlerts = [
  {
    name: 'backlog'
    severity: 2
    title: 'The oldest message of a queue has waited for more than ${thresholds.backlogMinutes} minutes.'
    // Written once in each run of the reconciliation: a shorter window would be empty between two of them.
    minutes: max(30, silence)
    query: 'AppMetrics | where Name == "sync.queue.oldest_message_age" and tostring(Properties.queue) in ("assets", "orders") | summarize Value = max(Max) / 60'
    above: thresholds.backlogMinutes
  }
  {
    name: 'failures'
    severity: 1
    title: 'More than ${thresholds.failurePercent} % of the invocations failed.'
    minutes: 15
    // A refused caller (4xx) is no failure of ours. Few invocations are too few for a percentage.
    query: 'AppRequests | summarize Failed = countif(Success == false and not(ResultCode startswith "4")), All = count() | project Value = iff(All >= 5, 100.0 * Failed / All, 0.0)'
    above: thresholds.failurePercent
  }
  {
    name: 'misconfigured'
    severity: 1
    title: 'A setting or the mapping is wrong: no message is processed.'
    minutes: 15
    query: 'AppMetrics | where Name == "sync.messages.retried" and tostring(Properties.reason) == "configuration_error" | summarize Value = sum(Sum)'
    above: 0
  }
  {
    name: 'drift-brake'
    severity: 1
    title: 'The reconciliation found too much drift and repairs nothing.'
    minutes: silence
    query: 'AppMetrics | where Name == "sync.drift_brake" | summarize Value = sum(Sum)'
    above: 0
  }
  {
    name: 'mass-clear'
    severity: 1
    title: 'One field would be emptied in many records at once: these writes are held.'
    minutes: 15
    query: 'AppMetrics | where Name == "sync.messages.parked" and tostring(Properties.reason) == "mass_clear" | summarize Value = sum(Sum)'
    above: 0
  }
  {
    name: 'no-reconcile'
    severity: 1
    title: 'No reconciliation was completed within two intervals (${silence} minutes).'
    minutes: silence
    query: 'AppMetrics | where Name == "sync.reconcile.runs" | summarize Runs = sum(Sum) | project Value = iff(coalesce(Runs, 0.0) > 0, 0, 1)'
    above: 0
  }
  {
    name: 'throttling'
    severity: 3
    title: 'Dynamics asked us to slow down more than ${thresholds.throttles} times.'
    minutes: 15
    query: 'AppMetrics | where Name == "sync.throttles" and tostring(Properties.service) == "Dynamics" | summarize Value = sum(Sum)'
    above: thresholds.throttles
  }
]
var capAlerts = [
  {
    name: 'log-cap'
    severity: 1
    title: 'The daily cap of logs is reached: until tomorrow nothing is seen of the functions.'
    minutes: 60
    query: '_LogOperation | where Category == "Ingestion" and Detail has "OverQuota" | summarize Value = count()'
    above: 0
  }
]
var logAlerts = concat(functionAlerts, isCapped ? capAlerts : [])

resource onMetric 'Microsoft.Insights/metricAlerts@2026-01-01' = [
  for alert in busAlerts: {
    name: 'energy-sync-${alert.name}-${suffix}'
    location: 'global'
    tags: tags
    properties: {
      description: '${alert.title} What to do: ${runbookUrl}#${alert.name}'
      severity: alert.severity
      enabled: true
      autoMitigate: true
      scopes: [namespaceId]
      evaluationFrequency: 'PT5M'
      windowSize: alert.window
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            name: alert.name
            criterionType: 'StaticThresholdCriterion'
            metricNamespace: 'Microsoft.ServiceBus/namespaces'
            metricName: alert.metric
            dimensions: empty(alert.queues) ? [] : [{ name: 'EntityName', operator: 'Include', values: alert.queues }]
            timeAggregation: alert.aggregation
            operator: 'GreaterThan'
            threshold: alert.above
          }
        ]
      }
      #disable-next-line use-resource-id-functions // the ids are a parameter's
      actions: map(actionGroupIds, id => { actionGroupId: id })
    }
  }
]

resource onLog 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for alert in logAlerts: {
    name: 'energy-sync-${alert.name}-${suffix}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: 'Energy sync: ${alert.name}'
      description: '${alert.title} What to do: ${runbookUrl}#${alert.name}'
      severity: alert.severity
      enabled: true
      autoMitigate: true
      scopes: [workspaceId]
      evaluationFrequency: 'PT5M'
      windowSize: 'PT${alert.minutes}M'
      // The tables come into being with the first data; the rule must not wait for that.
      skipQueryValidation: true
      criteria: {
        allOf: [
          {
            query: alert.query
            metricMeasureColumn: 'Value'
            timeAggregation: 'Maximum'
            operator: 'GreaterThan'
            threshold: alert.above
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      actions: {
        actionGroups: actionGroupIds
        customProperties: { runbook: '${runbookUrl}#${alert.name}' }
      }
    }
  }
]
