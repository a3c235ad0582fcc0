#!/usr/bin/env bash
# Lets the app read its secrets anew, and waits until every Key Vault reference is resolved. By itself Azure looks once a
# day, and a restart alone does not make it.
# https://learn.microsoft.com/azure/app-service/app-service-key-vault-references#rotation
# Usage: infra/scripts/references.sh GROUP APP
set -euo pipefail
group=$1 app=$2
id=$(az functionapp show --resource-group "$group" --name "$app" --query id --output tsv)
references="$id/config/configreferences/appsettings"

for attempt in $(seq "${ATTEMPTS:-20}"); do
  az rest --method post --url "$references/refresh?api-version=2022-03-01" --output none
  open=$(az rest --method get --url "$references?api-version=2022-03-01" --output tsv \
    --query "value[?properties.status!='Resolved'].[name, properties.status]")
  if [ -z "$open" ]; then
    az functionapp restart --resource-group "$group" --name "$app" --output none
    echo "Every Key Vault reference of $app is resolved."
    exit 0
  fi
  echo "Attempt $attempt: not resolved yet: $(xargs <<<"$open")" >&2
  sleep "${PAUSE:-15}"
done
echo "Not resolved: $(xargs <<<"$open"). SecretNotFound: set it (infra/scripts/secrets.sh). AccessToKeyVaultDenied: deploy" \
  "again, or wait for the role. Otherwise is the vault reached from the app's network?" >&2
exit 1
