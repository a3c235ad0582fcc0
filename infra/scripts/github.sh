#!/usr/bin/env bash
# Lets the workflows of a GitHub repository sign in to Azure without a secret: one identity for each GitHub environment,
# which only that environment of that repository can be. Can be repeated. Sets the environments' variables if 'gh' is here.
# Usage: infra/scripts/github.sh OWNER/REPOSITORY LOCATION
set -euo pipefail
repository=$1 location=$2
here=$(cd "$(dirname "$0")" && pwd)
group=rg-energy-sync-github
subscription=$(az account show --query id --output tsv)
tenant=$(az account show --query tenantId --output tsv)

# The pipeline may grant the roles that the templates grant, and no other: not Owner, and nothing to itself that counts.
# The list is that of infra/modules/access.bicep and vault-access.bicep; a test compares.
roles="69a216fc-b8fb-44d8-bc22-1f3c2cd27a39, 4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0, 090c5cfd-751d-490a-894a-3ce6f1109419, \
ba92f5b4-2d11-453d-a403-e96b0029c9fe, 2a2b9908-6ea1-4ae2-8e65-a410df84e7d1, b7e6dc6d-f1e8-4753-8033-0f276bb0955b, \
0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3, 4633458b-17de-408a-b874-0445c86b69e6, b86a8fe4-44ce-4948-aee5-eccb2c155cd7, \
a4417e6f-fecd-4de8-b567-7b0420556985, 3913510d-42f4-4e42-8a64-420c390055eb"
condition="((!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})) OR \
(@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {$roles})) AND \
((!(ActionMatches{'Microsoft.Authorization/roleAssignments/delete'})) OR \
(@Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {$roles}))"

grant() {
  az role assignment create --assignee-object-id "$1" --assignee-principal-type ServicePrincipal --role "$2" \
    --scope "/subscriptions/$subscription" "${@:3}" --output none
}

az group create --name "$group" --location "$location" --output none
role=$(mktemp)
trap 'rm -f "$role"' EXIT
sed "s|SUBSCRIPTION|$subscription|" "$here/what-if-role.json" >"$role"
if [ -z "$(az role definition list --name 'Energy sync what-if' --query '[].id' --output tsv)" ]; then
  az role definition create --role-definition "@$role" --output none
fi

for environment in what-if test production; do
  name="id-energy-sync-$environment"
  az identity create --resource-group "$group" --name "$name" --location "$location" --output none
  principal=$(az identity show --resource-group "$group" --name "$name" --query principalId --output tsv)
  client=$(az identity show --resource-group "$group" --name "$name" --query clientId --output tsv)
  az identity federated-credential create --resource-group "$group" --identity-name "$name" --name github \
    --issuer https://token.actions.githubusercontent.com --audiences api://AzureADTokenExchange \
    --subject "repo:$repository:environment:$environment" --output none
  if [ "$environment" = what-if ]; then
    # A pull request can run anything as this one: it reads, and asks.
    grant "$principal" Reader
    grant "$principal" 'Energy sync what-if'
  else
    grant "$principal" Contributor
    grant "$principal" 'Role Based Access Control Administrator' --condition "$condition" --condition-version 2.0
  fi
  for variable in "AZURE_CLIENT_ID=$client" "AZURE_TENANT_ID=$tenant" "AZURE_SUBSCRIPTION_ID=$subscription"; do
    echo "$environment: $variable"
    if command -v gh >/dev/null; then
      gh variable set "${variable%%=*}" --env "$environment" --repo "$repository" --body "${variable#*=}"
    fi
  done
done
echo "Now set the deployments' own variables (docs/parameters.md) in the environments, and protect 'production' with reviewers."
