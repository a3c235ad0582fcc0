// One private endpoint for each service, and the zones in which the network finds them.

import { cloudName, privateZones } from '../clouds.bicep'
import { tagSet } from '../types.bicep'

@description('A service that gets an endpoint.')
type service = {
  @description('Its resource id.')
  id: string

  @description('What of it is reached.')
  kind: 'blob' | 'table' | 'vault' | 'namespace' | 'sites' | 'azuremonitor'
}

@description('Where they live.')
param location string

@description('What every name ends in.')
@minLength(13)
param suffix string

@description('Tags of every resource.')
param tags tagSet

@description('The cloud, which decides what the zones are called.')
param cloud cloudName

@description('What is reached.')
param services service[]

@description('The network that resolves the names.')
param networkId string

@description('The subnet of the endpoints.')
param subnetId string

@description('Whether the zones are made here.')
param privateDns 'here' | 'elsewhere'

var zones = privateDns == 'here' ? union([], flatten(map(services, service => privateZones[cloud][service.kind]))) : []

resource zone 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for name in zones: {
    name: name
    location: 'global'
    tags: tags
  }
]

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (name, i) in zones: {
    parent: zone[i]
    name: 'network'
    location: 'global'
    tags: tags
    properties: { registrationEnabled: false, virtualNetwork: { id: networkId } }
  }
]

resource endpoint 'Microsoft.Network/privateEndpoints@2026-03-01' = [
  for service in services: {
    name: 'pe-${service.kind}-${suffix}'
    location: location
    tags: tags
    properties: {
      subnet: { id: subnetId }
      privateLinkServiceConnections: [
        {
          name: service.kind
          properties: {
            #disable-next-line use-resource-id-functions // the ids are a parameter's
            privateLinkServiceId: service.id
            groupIds: [service.kind]
          }
        }
      ]
    }
  }
]

// Elsewhere a policy writes this group, or whoever keeps the zones.
resource names 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2026-03-01' = [
  for (service, i) in privateDns == 'here' ? services : []: {
    parent: endpoint[i]
    name: 'default'
    dependsOn: [zone]
    properties: {
      privateDnsZoneConfigs: [
        for name in privateZones[cloud][service.kind]: {
          name: replace(name, '.', '-')
          properties: { privateDnsZoneId: resourceId('Microsoft.Network/privateDnsZones', name) }
        }
      ]
    }
  }
]
