#!/usr/bin/env bash
# Sets a new webhook secret, and keeps the one before it as webhook-previous, which the functions take too while
# ACCEPT_PREVIOUS_WEBHOOK_KEY is true. Shows no secret. docs/deploy.md, "Rotate the webhook's secret", has the other steps.
# Usage: infra/scripts/rotate-webhook.sh VAULT
set -euo pipefail
vault=$1
umask 077
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
az keyvault secret show --vault-name "$vault" --name webhook --query value --output tsv | tr -d '\r\n' >"$folder/old"
openssl rand -hex 32 | tr -d '\n' >"$folder/new"
if [ ! -s "$folder/old" ]; then
  echo "The vault $vault has no secret 'webhook': infra/scripts/secrets.sh $vault makes the first." >&2
  exit 1
fi
# The old one first: interrupted here, nothing has changed for anybody.
az keyvault secret set --vault-name "$vault" --name webhook-previous --file "$folder/old" --encoding utf-8 --output none
az keyvault secret set --vault-name "$vault" --name webhook --file "$folder/new" --encoding utf-8 --output none
echo "Set 'webhook' anew in $vault, and kept the one before it as 'webhook-previous'."
