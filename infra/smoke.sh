#!/usr/bin/env bash
# After a deployment: are the six functions there, and could they do their job? Usage: infra/smoke.sh GROUP APP
set -euo pipefail
group=$1 app=$2
wanted="assets backup health orders reconcile webhook"

for attempt in $(seq "${ATTEMPTS:-20}"); do
  found=$(az functionapp function list --resource-group "$group" --name "$app" --query '[].name' --output tsv |
    sed 's|.*/||' | sort | xargs)
  [ "$found" = "$wanted" ] && break
  echo "Functions after attempt $attempt: ${found:-none}"
  sleep "${PAUSE:-15}"
done
if [ "$found" != "$wanted" ]; then
  echo "The app should have the functions '$wanted', and has '${found:-none}'." \
    "Look at the app's log for an import error: a decorator or a requirement is wrong." >&2
  exit 1
fi

host=$(az functionapp show --resource-group "$group" --name "$app" --query properties.defaultHostName --output tsv)
if ! answer=$(curl --silent --show-error --fail-with-body --retry 5 --retry-delay 5 --retry-all-errors \
  --max-time 60 "https://$host/api/health"); then
  echo "https://$host/api/health is not well: $answer" >&2
  echo "If it is misconfigured, the app's log names the setting ('Misconfigured: ...'), and so does" \
    "'.venv/bin/python -m ops check'. Is it a Key Vault reference: infra/scripts/references.sh $group $app. Is the answer" \
    "403: this address may not call the app (ALLOWED_CIDRS)." >&2
  exit 1
fi
echo "$found: $answer"
