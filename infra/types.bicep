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
@description('From when on people are called, beside what is always wrong (dead letters, parked messages, the drift brake, no reconciliation).')
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
@description('Who is called: all of them. None at all: alerts show in the portal only.')
type alertReceivers = {
  @description('E-mail addresses.')
  emails: string[]

  @description('Addresses that take a POST in the common alert schema, such as a Logic App that writes to Teams.')
  webhooks: string[]
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

  @description('Webhooks that one instance takes at a time. The platform\'s default for Python is 1.')
  @minValue(1)
  @maxValue(1000)
  webhooksPerInstance: int

  @description('Instances that always wait for webhooks and are paid for all the time. 0: the first webhook after a pause waits for a start.')
  @minValue(0)
  @maxValue(1000)
  alwaysReady: int

  @description('Let the scale controller read the queues\' lengths. It needs Azure Service Bus Data Owner on assets and orders for that.')
  targetBased: bool

  @description('Spread the instances over availability zones. Azure then always keeps two instances of each always-ready group.')
  zoneRedundant: bool
}

@export()
@description('The queues\' tier.')
type busSettings = {
  @description('Empty: Premium in a private network, which Standard cannot be in, else Standard.')
  tier: '' | 'Standard' | 'Premium'

  @description('Messaging units of Premium.')
  messagingUnits: 1 | 2 | 4 | 8 | 16
}

@export()
@description('A vault that cannot lose a secret, or one that a trial can throw away. Neither can be changed once the vault exists.')
type vaultSettings = {
  @description('Days in which a deleted vault or secret can be recovered.')
  @minValue(7)
  @maxValue(90)
  retentionDays: int

  @description('Whether nobody can purge a deleted vault or secret before that.')
  purgeProtection: bool

  @description('Recover the deleted vault of an installation of the same name instead of making one.')
  recover: bool
}

@export()
@description('A private network: everything but the webhook is reached through it only.')
type networkSettings = {
  @description('Whether there is one. Everything below counts only then.')
  private: bool

  @description('The address space of the network that is made: a /24 or larger.')
  addressPrefix: string

  @description('An existing subnet for the app, /27 or larger, delegated to Microsoft.App/environments. Empty: a network is made.')
  integrationSubnetId: string

  @description('An existing subnet for the private endpoints, in the same network. Empty: a network is made.')
  endpointsSubnetId: string

  @description('Whether the private DNS zones are made here, or elsewhere: by a policy, or by the people of the hub network.')
  privateDns: 'here' | 'elsewhere'

  @description('Whether telemetry, too, goes through the network (an Azure Monitor Private Link Scope, which counts for the network as a whole).')
  monitoring: bool

  @description('Whether logs may be read from outside the network, by those who may read them at all.')
  publicQueries: bool

  @description('Whether the app calls out from one fixed address (a NAT gateway), for the allow-lists of Dynamics and the CMMS.')
  fixedOutboundAddress: bool

  @description('Addresses from which operators, pipelines and the CMMS reach storage, vault, queues and deployments from outside, as CIDR. Empty: nobody does.')
  administrators: string[]
}

@export()
@description('Who may call the webhook. Nothing named: anybody may, and must authenticate.')
type callerSettings = {
  @description('Whether it can be called from the Internet at all. False: through the app\'s private endpoint only.')
  public: bool

  @description('Service tags whose addresses may call, such as AzureCloud, which is every customer of Azure.')
  serviceTags: string[]

  @description('Addresses that may call, as CIDR, such as those of an API Management.')
  cidrs: string[]

  @description('The id of the Azure Front Door that alone may call: requests must come from Front Door and carry this id in X-Azure-FDID.')
  frontDoorId: string
}

@export()
@description('What is there already and used instead of a new one. Empty: it is made.')
type existingResources = {
  @description('Resource id of a Log Analytics workspace.')
  workspaceId: string

  @description('Resource id of a key vault that grants by role.')
  vaultId: string

  @description('Resource ids of action groups that are called beside the receivers.')
  actionGroupIds: string[]
}

@export()
@description('What it may cost.')
type costLimits = {
  @description('The resource group\'s monthly budget in the currency of the bill; people are told at 80 % and when 100 % are forecast. 0: no budget.')
  @minValue(0)
  monthlyBudget: int

  @description('The first day of the month in which the budget begins, as 2026-01-01. It cannot be changed later.')
  budgetStart: string

  @description('Gigabytes of logs a day, from which on no more are taken in. -1: no cap.')
  @minValue(-1)
  dailyLogGigabytes: int
}

@export()
@description('Tags of every resource.')
type tagSet = {
  @description('The installation: azd finds its resources by it.')
  'azd-env-name': string

  @description('Whatever else your policies ask for.')
  *: string
}

@export()
@description('From where a resource is reached.')
type reach = {
  @description('Through private endpoints only, but for the named addresses.')
  private: bool

  @description('The addresses from which it is reached all the same, as CIDR.')
  addresses: string[]
}

@export()
@description('Somebody to be granted a role.')
type principal = {
  @description('The object id.')
  id: string

  @description('What it is; saves Azure a search that fails for a new identity.')
  type: 'ServicePrincipal' | 'User' | 'Group'
}
