// The functions on Flex Consumption. Its settings are those of shared/settings.py; a test compares.

import { cmmsSettings, dynamicsSettings, scaleSettings, syncSettings, tagSet } from '../types.bicep'

@description('Where it lives.')
param location string

@description('What every name ends in.')
@minLength(13)
param token string

@description('Tags of every resource.')
param tags tagSet

@description('How the functions reach Dynamics 365.')
param dynamics dynamicsSettings

@description('How the functions reach the CMMS.')
param cmms cmmsSettings

@description('What is compared and when.')
param sync syncSettings

@description('How the app grows.')
param scale scaleSettings

@description('Service tags whose addresses may call, such as AzureCloud. Empty: anybody may, and must authenticate.')
param allowedServiceTags string[]

@description('The functions\' identity.')
param identityName string

@description('The storage account.')
param storageName string

@description('The Service Bus namespace\'s host name.')
param serviceBusHost string

@description('The vault.')
param vaultName string

@description('Where telemetry is sent.')
param insightsConnectionString string

var storageHost = environment().suffixes.storage
var secrets = 'https://${vaultName}${environment().suffixes.keyvaultDns}/secrets'

// An hour cannot be said in minutes of the hour.
var schedule = sync.reconcileMinutes < 60
  ? '0 */${sync.reconcileMinutes} * * * *'
  : '0 0 */${sync.reconcileMinutes / 60} * * *'

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: 'plan-energy-sync-${token}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: 'func-energy-sync-${token}'
  location: location
  // azd finds the app by this tag.
  tags: union(tags, { 'azd-service-name': 'api' })
  kind: 'functionapp,linux'
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identity.id}': {} } }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: 'Enabled'
    keyVaultReferenceIdentity: identity.id
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: 'https://${storageName}.blob.${storageHost}/deployment'
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identity.id }
        }
      }
      runtime: { name: 'python', version: '3.13' }
      scaleAndConcurrency: {
        instanceMemoryMB: scale.instanceMemory
        maximumInstanceCount: scale.maximumInstances
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      http20Enabled: true
      ipSecurityRestrictionsDefaultAction: empty(allowedServiceTags) ? 'Allow' : 'Deny'
      ipSecurityRestrictions: [
        for (serviceTag, i) in allowedServiceTags: {
          name: serviceTag
          tag: 'ServiceTag'
          ipAddress: serviceTag
          action: 'Allow'
          priority: 100 + i
        }
      ]
    }
  }

  // Both are passwords for deployments; deployments sign in with Entra instead.
  resource ftp 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: { allow: false }
  }
  resource scm 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false }
  }

  resource settings 'config' = {
    name: 'appsettings'
    properties: {
      // The host and the worker.
      AzureWebJobsStorage__accountName: storageName
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__clientId: identity.properties.clientId
      ServiceBusConnection__fullyQualifiedNamespace: serviceBusHost
      ServiceBusConnection__credential: 'managedidentity'
      ServiceBusConnection__clientId: identity.properties.clientId
      APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnectionString
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.properties.clientId};Authorization=AAD'
      PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY: 'true'
      // Left alone, the exporter keeps five traces a second.
      OTEL_TRACES_SAMPLER: 'microsoft.fixed_percentage'
      OTEL_TRACES_SAMPLER_ARG: '1.0'
      // Our own spans stand for these requests, without the business keys that their addresses hold.
      OTEL_PYTHON_DISABLED_INSTRUMENTATIONS: 'httpx,requests,urllib,urllib3,azure_sdk'
      // The functions.
      AZURE_CLIENT_ID: identity.properties.clientId
      DYNAMICS_365_RESOURCE_URL: dynamics.resourceUrl
      DYNAMICS_365_API_VERSION: dynamics.apiVersion
      DYNAMICS_365_BASE_URL: dynamics.baseUrl
      DYNAMICS_365_ORGANIZATION_ID: dynamics.organizationId
      DYNAMICS_365_WEBHOOK_HEADER: dynamics.webhookHeader
      DYNAMICS_365_WEBHOOK_SECRET: '@Microsoft.KeyVault(SecretUri=${secrets}/webhook)'
      DYNAMICS_365_WEBHOOK_SECRET_PREVIOUS: dynamics.acceptPreviousWebhookKey
        ? '@Microsoft.KeyVault(SecretUri=${secrets}/webhook-previous)'
        : ''
      DYNAMICS_365_TENANT_ID: dynamics.tenantId
      DYNAMICS_365_CLIENT_ID: dynamics.clientId
      DYNAMICS_365_CLIENT_SECRET: empty(dynamics.clientId)
        ? ''
        : '@Microsoft.KeyVault(SecretUri=${secrets}/dynamics-client)'
      CMMS_BASE_URL: cmms.baseUrl
      CMMS_TOKEN: empty(cmms.baseUrl) ? '' : '@Microsoft.KeyVault(SecretUri=${secrets}/cmms-token)'
      SYNC_LEDGER: 'https://${storageName}.table.${storageHost}/ledger'
      SYNC_MAPPING: sync.mapping
      RECONCILE_SCHEDULE: schedule
      RECONCILE_SETTLE_SECONDS: string(sync.settleSeconds)
      RECONCILE_FULL_EVERY: string(sync.fullEveryHours)
      RECONCILE_MAX_REPAIRS: string(sync.maximumRepairs)
      RECONCILE_MODE: sync.mode
      REPORT_LOCATION: 'https://${storageName}.blob.${storageHost}/reports'
      REPORT_RETENTION_DAYS: string(sync.reportDays)
    }
  }
}

@description('The app\'s name.')
output name string = app.name

@description('Its address.')
output url string = 'https://${app.properties.defaultHostName}'
