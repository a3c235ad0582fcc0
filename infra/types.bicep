// The shapes of the parameters that belong together. shared/settings.py says what each setting means to the functions.

@export()
@description('How the functions reach Dynamics 365.')
type dynamicsSettings = {
  @description('The organization\'s address, such as https://contoso.crm.dynamics.com.')
  resourceUrl: string

  @description('The organization\'s GUID, which every webhook must name. Empty: the functions ask Dynamics once (WhoAmI).')
  organizationId: string

  @description('The Web API\'s version.')
  apiVersion: string

  @description('The Web API\'s root, where it is not below the organization\'s address. Empty: it is.')
  baseUrl: string

  @description('The header in which a native webhook carries the secret.')
  webhookHeader: string

  @description('Whether the vault also holds webhook-previous, the secret before the last rotation.')
  acceptPreviousWebhookKey: bool

  @description('Only where Dynamics is in another tenant and a managed identity cannot sign in: that tenant\'s id. Then the vault must hold dynamics-client.')
  tenantId: string

  @description('Only together with tenantId: the app registration\'s client id.')
  clientId: string
}

@export()
@description('How the functions reach the CMMS, and who the CMMS is.')
type cmmsSettings = {
  @description('The CMMS\'s address. Empty: one-way mode, the messages\' own values go to Dynamics. Else the vault must hold cmms-token.')
  baseUrl: string

  @description('The object id of the CMMS\'s service principal or managed identity, which may send to assets and orders. Empty: none yet.')
  principalId: string
}

@export()
@description('What is compared and when.')
type syncSettings = {
  @description('The mapping file in the package. Empty: shared/mappings/document.toml.')
  mapping: string

  @description('Minutes between two runs of the reconciliation.')
  reconcileMinutes: reconcileInterval

  @description('Seconds after its last sync in which a record may differ without being drift.')
  @minValue(0)
  @maxValue(3600)
  settleSeconds: int

  @description('Hours after which everything is compared again, not only what changed.')
  @minValue(0)
  @maxValue(720)
  fullEveryHours: int

  @description('How many repairs one run may enqueue.')
  @minValue(1)
  @maxValue(1000000)
  maximumRepairs: int

  @description('Whether drift is repaired or only reported.')
  mode: 'repair' | 'report'

  @description('Days that a report is kept.')
  @minValue(1)
  @maxValue(3650)
  reportDays: int
}

@export()
@description('Divisors of an hour or of a day, so that a schedule can say them; twice each is a window that an alert can have.')
type reconcileInterval = 5 | 15 | 30 | 60 | 120

@export()
@description('When people are called, beside what is always wrong (dead letters, parked messages, the drift brake, no reconciliation).')
type alertThresholds = {
  @description('Minutes that the oldest message of a queue may wait.')
  @minValue(1)
  backlogMinutes: int

  @description('Failed invocations, in percent of all within 15 minutes.')
  @minValue(1)
  @maxValue(100)
  failurePercent: int

  @description('Answers 429 of Dynamics within 15 minutes. Some are normal traffic.')
  @minValue(1)
  throttles: int
}

@export()
@description('How the function app grows.')
type scaleSettings = {
  @description('The most instances of each group of functions. Every instance sends at least 2 requests at a time to Dynamics, which takes 52.')
  @minValue(1)
  @maxValue(1000)
  maximumInstances: int

  @description('Memory of an instance in MB.')
  instanceMemory: 512 | 2048 | 4096

  @description('Let the scale controller read the queues\' lengths. It needs Azure Service Bus Data Owner on assets and orders for that.')
  targetBased: bool
}

@export()
@description('Tags of every resource.')
type tagSet = {
  @description('The installation: azd finds its resources by it.')
  'azd-env-name': string
}

@export()
@description('Somebody to be granted a role.')
type principal = {
  @description('The object id.')
  id: string

  @description('What it is; saves Azure a search that fails for a new identity.')
  type: 'ServicePrincipal' | 'User' | 'Group'
}
