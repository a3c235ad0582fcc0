#!/usr/bin/env bash
# azd runs it after Bicep: makes the webhook's secret if there is none, and lets the app read its secrets.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)

needed=()
[ -z "${CMMS_BASE_URL:-}" ] || needed+=(cmms-token)
[ -z "${DYNAMICS_365_CLIENT_ID:-}" ] || needed+=(dynamics-client)
[ "${ACCEPT_PREVIOUS_WEBHOOK_KEY:-false}" != true ] || needed+=(webhook-previous)

code=0
"$here/scripts/secrets.sh" "$KEY_VAULT_NAME" ${needed[@]+"${needed[@]}"} || code=$?
case $code in
0) "$here/scripts/references.sh" "$AZURE_RESOURCE_GROUP" "$FUNCTION_APP_NAME" ;;
3) echo "The app answers 503 until that is set." >&2 ;;
*) exit "$code" ;;
esac
