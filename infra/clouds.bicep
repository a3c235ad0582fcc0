// What is called otherwise in another cloud. The compiler's environment() knows some of it, but only in Azure: here the
// tests can evaluate addresses and count zones.
// https://learn.microsoft.com/azure/private-link/private-endpoint-dns and its pages of the other clouds

#disable-diagnostics no-hardcoded-env-urls // this is the table that the rule wants to see used

@export()
@description('The clouds that this template knows.')
type cloudName = 'AzureCloud' | 'AzureUSGovernment' | 'AzureChinaCloud'

@export()
@description('Name endings and addresses, by cloud.')
var clouds = {
  AzureCloud: {
    login: 'https://login.microsoftonline.com/'
    storage: 'core.windows.net'
    vault: 'vault.azure.net'
    serviceBus: 'servicebus.windows.net'
  }
  AzureUSGovernment: {
    login: 'https://login.microsoftonline.us/'
    storage: 'core.usgovcloudapi.net'
    vault: 'vault.usgovcloudapi.net'
    serviceBus: 'servicebus.usgovcloudapi.net'
  }
  AzureChinaCloud: {
    login: 'https://login.chinacloudapi.cn/'
    storage: 'core.chinacloudapi.cn'
    vault: 'vault.azure.cn'
    serviceBus: 'servicebus.chinacloudapi.cn'
  }
}

@export()
@description('The private DNS zones by cloud and kind of private endpoint. Azure Monitor also reads its settings from a blob.')
var privateZones = {
  AzureCloud: {
    blob: ['privatelink.blob.core.windows.net']
    table: ['privatelink.table.core.windows.net']
    vault: ['privatelink.vaultcore.azure.net']
    namespace: ['privatelink.servicebus.windows.net']
    sites: ['privatelink.azurewebsites.net']
    azuremonitor: [
      'privatelink.monitor.azure.com'
      'privatelink.oms.opinsights.azure.com'
      'privatelink.ods.opinsights.azure.com'
      'privatelink.agentsvc.azure-automation.net'
      'privatelink.blob.core.windows.net'
    ]
  }
  AzureUSGovernment: {
    blob: ['privatelink.blob.core.usgovcloudapi.net']
    table: ['privatelink.table.core.usgovcloudapi.net']
    vault: ['privatelink.vaultcore.usgovcloudapi.net']
    namespace: ['privatelink.servicebus.usgovcloudapi.net']
    sites: ['privatelink.azurewebsites.us']
    azuremonitor: [
      'privatelink.monitor.azure.us'
      'privatelink.oms.opinsights.azure.us'
      'privatelink.ods.opinsights.azure.us'
      'privatelink.agentsvc.azure-automation.us'
      'privatelink.blob.core.usgovcloudapi.net'
    ]
  }
  AzureChinaCloud: {
    blob: ['privatelink.blob.core.chinacloudapi.cn']
    table: ['privatelink.table.core.chinacloudapi.cn']
    vault: ['privatelink.vaultcore.azure.cn']
    namespace: ['privatelink.servicebus.chinacloudapi.cn']
    sites: ['privatelink.chinacloudsites.cn']
    azuremonitor: [
      'privatelink.monitor.azure.cn'
      'privatelink.oms.opinsights.azure.cn'
      'privatelink.ods.opinsights.azure.cn'
      'privatelink.agentsvc.azure-automation.cn'
      'privatelink.blob.core.chinacloudapi.cn'
    ]
  }
}

@export()
@description('From where availability tests ask, by cloud.')
var testLocations = {
  AzureCloud: ['emea-nl-ams-azr', 'emea-gb-db3-azr', 'us-va-ash-azr', 'us-ca-sjc-azr', 'apac-sg-sin-azr']
  AzureUSGovernment: ['usgov-va-azr', 'usgov-phx-azr', 'usgov-tx-azr', 'usgov-ddeast-azr', 'usgov-ddcentral-azr']
  AzureChinaCloud: ['mc-cne-azr', 'mc-cne2-azr', 'mc-cnn-azr', 'mc-cnn2-azr']
}
