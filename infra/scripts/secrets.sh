#!/usr/bin/env bash
# Makes the webhook's secret, if the vault has none, and says which other secrets it waits for. Shows no secret.
# Usage: infra/scripts/secrets.sh VAULT [SECRET...]    SECRET: what else must be there, such as cmms-token
set -euo pipefail
vault=$1
shift

# A role that was granted a moment ago may take minutes to count.
for attempt in $(seq "${ATTEMPTS:-20}"); do
  if found=$(az keyvault secret list --vault-name "$vault" --query '[].name' --output tsv 2>&1); then
    break
  fi
  case $found in
  *ForbiddenByConnection* | *ForbiddenByFirewall* | *"not allowed by"* | *"Public network access is disabled"*)
    echo "The vault $vault is closed to this address: run this inside its network, or name the address in" \
      "ADMINISTRATOR_CIDRS and deploy again." >&2
    exit 1
    ;;
  *Forbidden*)
    echo "Attempt $attempt: you may not list the secrets of $vault yet. A new role needs some minutes." >&2
    ;;
  *)
    echo "The vault $vault cannot be read: $found" >&2
    exit 1
    ;;
  esac
  if [ "$attempt" = "${ATTEMPTS:-20}" ]; then
    echo "You may not set secrets in $vault: you must be in the group (or be the user) that OPERATORS_PRINCIPAL_ID" \
      "named at the deployment." >&2
    exit 1
  fi
  sleep "${PAUSE:-15}"
done

if ! grep --quiet --line-regexp webhook <<<"$found"; then
  umask 077
  value=$(mktemp)
  trap 'rm -f "$value"' EXIT
  # In a file, not an argument: other users of this machine see arguments.
  openssl rand -hex 32 | tr -d '\n' >"$value"
  az keyvault secret set --vault-name "$vault" --name webhook --file "$value" --encoding utf-8 --output none
  echo "Made the secret 'webhook' in $vault."
fi
for name in "$@"; do
  if ! grep --quiet --line-regexp "$name" <<<"$found"; then
    echo "The secret '$name' is missing in $vault: az keyvault secret set --vault-name $vault --name $name --file FILE" \
      "--encoding utf-8 --output none (no line end in the file). Then: infra/scripts/references.sh GROUP APP" >&2
    missing=true
  fi
done
[ -z "${missing:-}" ] || exit 3
