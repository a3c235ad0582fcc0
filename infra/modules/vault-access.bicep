// Who may read and set secrets. A module of its own because an existing vault may be in another resource group.

import { principal } from '../types.bicep'

@description('The functions\' identity: object id.')
param appPrincipalId string

@description('The people who run it. Empty id: none yet.')
param operators principal

@description('The vault.')
param vaultName string

var roles = {
  keyVaultSecretsUser: '4633458b-17de-408a-b874-0445c86b69e6'
  keyVaultSecretsOfficer: 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7'
  keyVaultCertificatesOfficer: 'a4417e6f-fecd-4de8-b567-7b0420556985'
}
var app = { id: appPrincipalId, type: 'ServicePrincipal' }
var grants = concat(
  [{ to: app, role: roles.keyVaultSecretsUser }],
  empty(operators.id)
    ? []
    : [
        { to: operators, role: roles.keyVaultSecretsOfficer }
        // The CMMS's certificate is made in the vault, which then tells when it ends.
        { to: operators, role: roles.keyVaultCertificatesOfficer }
      ]
)

resource vault 'Microsoft.KeyVault/vaults@2026-05-15' existing = {
  name: vaultName
}

resource onVault 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for grant in grants: {
    name: guid(vault.id, grant.to.id, grant.role)
    scope: vault
    properties: {
      principalId: grant.to.id
      principalType: grant.to.type
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', grant.role)
    }
  }
]
