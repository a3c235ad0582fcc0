// What the resource group may cost in a month; people are told, nothing is switched off.

import { costLimits } from '../types.bicep'

@description('What every name ends in.')
@minLength(13)
param suffix string

@description('The limits.')
param limits costLimits

@description('E-mail addresses that are told.')
param emails string[]

@description('Action groups that are told.')
param actionGroupIds string[]

resource budget 'Microsoft.Consumption/budgets@2026-06-01' = {
  name: 'budget-${suffix}'
  properties: {
    category: 'Cost'
    amount: limits.monthlyBudget
    timeGrain: 'Monthly'
    timePeriod: { startDate: '${limits.budgetStart}T00:00:00Z' }
    notifications: {
      spent: {
        enabled: true
        operator: 'GreaterThanOrEqualTo'
        threshold: 80
        thresholdType: 'Actual'
        contactEmails: emails
        contactGroups: actionGroupIds
        contactRoles: ['Owner']
      }
      forecast: {
        enabled: true
        operator: 'GreaterThanOrEqualTo'
        threshold: 100
        thresholdType: 'Forecasted'
        contactEmails: emails
        contactGroups: actionGroupIds
        contactRoles: ['Owner']
      }
    }
  }
}
