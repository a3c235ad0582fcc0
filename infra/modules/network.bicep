// The private network: a subnet for the app, one for the private endpoints, and the zones by which their names resolve.

import { networkSettings, tagSet } from '../types.bicep'

@description('Where it lives.')
param location string

@description('What every name ends in.')
@minLength(13)
param suffix string

@description('Tags of every resource.')
param tags tagSet

@description('What is asked for.')
param settings networkSettings

// One subnet alone would have to be in a network that this template does not know.
var isMade = empty(settings.integrationSubnetId) || empty(settings.endpointsSubnetId)

resource guard 'Microsoft.Network/networkSecurityGroups@2026-03-01' = if (isMade) {
  name: 'nsg-${suffix}'
  location: location
  tags: tags
  properties: {
    securityRules: [
      {
        name: 'from-the-network'
        properties: {
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: 'VirtualNetwork'
          sourcePortRange: '*'
          destinationAddressPrefix: 'VirtualNetwork'
          // HTTPS, and AMQP over TLS.
          destinationPortRanges: ['443', '5671']
        }
      }
      {
        name: 'nobody-else'
        properties: {
          priority: 4096
          direction: 'Inbound'
          access: 'Deny'
          protocol: '*'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
    ]
  }
}

resource address 'Microsoft.Network/publicIPAddresses@2026-03-01' = if (isMade && settings.fixedOutboundAddress) {
  name: 'pip-${suffix}'
  location: location
  tags: tags
  sku: { name: 'Standard' }
  properties: { publicIPAllocationMethod: 'Static' }
}

resource gateway 'Microsoft.Network/natGateways@2026-03-01' = if (isMade && settings.fixedOutboundAddress) {
  name: 'ng-${suffix}'
  location: location
  tags: tags
  sku: { name: 'Standard' }
  properties: { publicIpAddresses: [{ id: address.id }] }
}

resource network 'Microsoft.Network/virtualNetworks@2026-03-01' = if (isMade) {
  name: 'vnet-${suffix}'
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: [settings.addressPrefix] }
    subnets: [
      {
        // Flex Consumption takes no underscores here.
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(settings.addressPrefix, 26, 0)
          networkSecurityGroup: { id: guard.id }
          natGateway: settings.fixedOutboundAddress ? { id: gateway.id } : null
          delegations: [{ name: 'app', properties: { serviceName: 'Microsoft.App/environments' } }]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(settings.addressPrefix, 26, 1)
          networkSecurityGroup: { id: guard.id }
          privateEndpointNetworkPolicies: 'Enabled'
          defaultOutboundAccess: false
        }
      }
    ]
  }

  resource app 'subnets' existing = {
    name: 'app'
  }

  resource endpoints 'subnets' existing = {
    name: 'endpoints'
  }
}

@description('The subnet of the app.')
output integrationSubnetId string = isMade ? network::app.id : settings.integrationSubnetId

@description('The subnet of the private endpoints.')
output endpointsSubnetId string = isMade ? network::endpoints.id : settings.endpointsSubnetId

@description('The network.')
output networkId string = isMade ? network.id : split(settings.endpointsSubnetId, '/subnets/')[0]
