#!/usr/bin/env bash
# azd runs it after the code is there: looks whether it runs, sets Dynamics up if you may, and says what is left to do.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
root=$(cd "$here/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}

"$here/smoke.sh" "$AZURE_RESOURCE_GROUP" "$FUNCTION_APP_NAME"

# Settings with references, no secrets: the command reads those from the vault, as you.
settings=${SETTINGS_FILE:-$root/.local/$FUNCTION_APP_NAME.json}
mkdir -p "$(dirname "$settings")"
az functionapp config appsettings list --resource-group "$AZURE_RESOURCE_GROUP" --name "$FUNCTION_APP_NAME" >"$settings"
provision=("-m" "ops" "provision" "--settings" "$settings" "--url" "$WEBHOOK_URL")
provisioned=false
if [ ! -x "$python" ]; then
  echo "Dynamics was not set up: .venv is missing ('make lint' makes it)." >&2
elif ! az account get-access-token --resource "$DYNAMICS_365_RESOURCE_URL" --output none 2>/dev/null; then
  echo "Dynamics was not set up: you are not signed in to $DYNAMICS_365_RESOURCE_URL." >&2
else
  # It shows its plan and asks; where nobody can be asked it only shows, unless PROVISION_DYNAMICS says yes.
  if [ "${PROVISION_DYNAMICS:-}" = true ]; then
    provision+=(--yes)
  elif [ ! -t 0 ]; then
    provision+=(--dry-run)
  fi
  # A dry run ends with 1 if something is to be done, so 0 means done in either case.
  if (cd "$root" && "$python" "${provision[@]}"); then
    provisioned=true
  fi
fi

echo
echo "What is left to do (docs/deploy.md):"
echo "- Dynamics: an application user with the client id $APPLICATION_USER_CLIENT_ID and its security role (step 4)."
if [ "$provisioned" = false ]; then
  echo "- Dynamics: as a system customizer, in the checkout: .venv/bin/python -m ops provision --settings $settings --url $WEBHOOK_URL"
fi
[ -n "${CMMS_PRINCIPAL_ID:-}" ] || echo "- CMMS: an identity that may send to $SERVICE_BUS_HOST (step 6)."
[ -n "${ALERT_EMAILS:-}${ALERT_WEBHOOKS:-}${EXISTING_ACTION_GROUP_IDS:-}" ] || echo "- Alerts call nobody: azd env set ALERT_EMAILS '[\"you@example.com\"]'; azd provision"
echo "- Then: .venv/bin/python -m ops check --settings $settings"
