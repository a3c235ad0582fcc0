// The functions on Flex Consumption. Its settings are those of shared/settings.py; a test compares.

import { cloudName, clouds } from '../clouds.bicep'
import { callerSettings, cmmsSettings, dynamicsSettings, reach, scaleSettings, syncSettings, tagSet } from '../types.bicep'

@description('Where it lives.')
param location string

@description('What every name ends in.')
@minLength(13)
param suffix string

@description('Tags of every resource.')
param tags tagSet

@description('The cloud, which decides what the services are called.')
param cloud cloudName

@description('How the functions reach Dynamics 365.')
param dynamics dynamicsSettings

@description('How the functions reach the CMMS.')
param cmms cmmsSettings

@description('What is compared and when.')
param sync syncSettings

@description('How the app grows.')
param scale scaleSettings

@description('Who may call the webhook.')
param callers callerSettings

@description('From where deployments reach the app.')
param access reach

@description('The subnet through which the app calls out. Empty: it is in no network.')
param subnetId string

@description('Whether FunctionAppLogs, the host\'s own log, is kept too.')
param hostLogs bool

@description('The workspace that gets the host\'s own log.')
param workspaceId string

@description('The functions\' identity.')
param identityName string

@description('The storage account.')
param storageName string

@description('The Service Bus namespace.')
param namespaceName string

@description('The vault.')
param vaultName string

@description('Where telemetry is sent.')
param insightsConnectionString string

var storageHost = clouds[cloud].storage
var secrets = 'https://${vaultName}.${clouds[cloud].vault}/secrets'

// An hour cannot be said in minutes of the hour.
var schedule = sync.reconcileMinutes < 60
  ? '0 */${sync.reconcileMinutes} * * * *'
  : '0 0 */${sync.reconcileMinutes / 60} * * *'

var isNarrowed = !empty(callers.serviceTags) || !empty(callers.cidrs) || !empty(callers.frontDoorId)
var callerRules = concat(
  empty(callers.frontDoorId)
    ? []
    : [
        {
          // The address says that it is a Front Door, the header whose.
          name: 'front-door'
          tag: 'ServiceTag'
          ipAddress: 'AzureFrontDoor.Backend'
          headers: { 'x-azure-fdid': [callers.frontDoorId] }
        }
      ],
  map(callers.serviceTags, tag => { name: tag, tag: 'ServiceTag', ipAddress: tag }),
  map(callers.cidrs, (cidr, i) => { name: 'address-${i}', tag: 'Default', ipAddress: cidr }),
  // Else the availability test would say that the app is down.
  isNarrowed ? [{ name: 'availability', tag: 'ServiceTag', ipAddress: 'ApplicationInsightsAvailability' }] : []
)

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: 'plan-${suffix}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true, zoneRedundant: scale.zoneRedundant }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: 'func-${suffix}'
  location: location
  // azd finds the app by this tag.
  tags: union(tags, { 'azd-service-name': 'api' })
  kind: 'functionapp,linux'
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identity.id}': {} } }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: callers.public ? 'Enabled' : 'Disabled'
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
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
        alwaysReady: scale.alwaysReady == 0 ? [] : [{ name: 'http', instanceCount: scale.alwaysReady }]
        triggers: { http: { perInstanceConcurrency: scale.webhooksPerInstance } }
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      http20Enabled: true
      ipSecurityRestrictionsDefaultAction: isNarrowed ? 'Deny' : 'Allow'
      ipSecurityRestrictions: [for (rule, i) in callerRules: { ...rule, action: 'Allow', priority: 100 + i }]
      // Deployments sign in with Entra, and in a private network also come from a known address.
      scmIpSecurityRestrictionsUseMain: false
      scmIpSecurityRestrictionsDefaultAction: access.private ? 'Deny' : 'Allow'
      scmIpSecurityRestrictions: [
        for (address, i) in access.addresses: {
          name: 'address-${i}'
          ipAddress: address
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
      // The address, not the account's name: the host knows the endings of the public cloud only.
      AzureWebJobsStorage__blobServiceUri: 'https://${storageName}.blob.${storageHost}'
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__clientId: identity.properties.clientId
      ServiceBusConnection__fullyQualifiedNamespace: '${namespaceName}.${clouds[cloud].serviceBus}'
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
      AZURE_AUTHORITY_HOST: clouds[cloud].login
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
      BACKUP_LOCATION: 'https://${storageName}.blob.${storageHost}/backups'
    }
  }
}

#disable-next-line use-recent-api-versions // the stable version is of 2016 and cannot name a setting
resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (hostLogs) {
  name: 'host'
  scope: app
  properties: {
    workspaceId: workspaceId
    logs: [{ category: 'FunctionAppLogs', enabled: true }]
  }
}

@description('Its resource id.')
output id string = app.id

@description('The app\'s name.')
output name string = app.name

@description('Its address.')
output url string = 'https://${app.properties.defaultHostName}'
