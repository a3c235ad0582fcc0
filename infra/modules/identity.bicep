// The functions' only identity: in Azure, in the queues, in the vault and, as an application user, in Dynamics.

import { tagSet } from '../types.bicep'

@description('Where it lives.')
param location string

@description('Its name.')
param name string

@description('Tags of every resource.')
param tags tagSet

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

@description('The client id: Dynamics\' application user is made for it.')
output clientId string = identity.properties.clientId

@description('The object id: roles are granted to it.')
output principalId string = identity.properties.principalId
