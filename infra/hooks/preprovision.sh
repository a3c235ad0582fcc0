#!/usr/bin/env bash
# azd runs it before Bicep: says what is missing while it costs nothing, and fills in what can be known.
set -euo pipefail

fail() {
  echo "$*" >&2
  exit 1
}

[[ ${DYNAMICS_365_RESOURCE_URL:-} =~ ^https://[A-Za-z0-9.-]+/?$ ]] ||
  fail "DYNAMICS_365_RESOURCE_URL must be the organization's address, such as https://contoso.crm.dynamics.com:" \
    "azd env set DYNAMICS_365_RESOURCE_URL ADDRESS"
[[ -z ${CMMS_BASE_URL:-} || $CMMS_BASE_URL =~ ^https:// ]] ||
  fail "CMMS_BASE_URL must begin with https://: it is '$CMMS_BASE_URL'."
if [[ -n ${DYNAMICS_365_TENANT_ID:-} && -z ${DYNAMICS_365_CLIENT_ID:-} ]] ||
  [[ -z ${DYNAMICS_365_TENANT_ID:-} && -n ${DYNAMICS_365_CLIENT_ID:-} ]]; then
  fail "DYNAMICS_365_TENANT_ID and DYNAMICS_365_CLIENT_ID belong together: set both, or neither."
fi
[[ -z ${CMMS_PRINCIPAL_ID:-} || $CMMS_PRINCIPAL_ID =~ ^[0-9a-fA-F-]{36}$ ]] ||
  fail "CMMS_PRINCIPAL_ID must be the object id of the CMMS's service principal (a GUID): 'az ad sp show --id APP_ID --query id'."

# A pipeline is nobody who could run the installation; a person may, until a group is named.
if [ -z "${OPERATORS_PRINCIPAL_ID:-}" ] && me=$(az ad signed-in-user show --query id --output tsv 2>/dev/null); then
  azd env set OPERATORS_PRINCIPAL_ID "$me"
  azd env set OPERATORS_PRINCIPAL_TYPE User
  echo "Nobody was named to run it (OPERATORS_PRINCIPAL_ID): it is you. Name a group before it goes into production."
fi
if [ "${MONTHLY_BUDGET:-0}" != 0 ] && [ -z "${BUDGET_START:-}" ]; then
  # Azure takes the first of the current month, once: a budget's beginning cannot be changed.
  azd env set BUDGET_START "$(date -u +%Y-%m-01)"
fi
if [ "${PRIVATE_NETWORK:-false}" = true ]; then
  # No resource of the template is of this provider, so Azure does not register it by itself: the app's subnet needs it.
  az provider register --namespace Microsoft.App --wait
fi
