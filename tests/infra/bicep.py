"""The real Bicep compiler, wherever this machine has it."""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
INFRA: Final = ROOT / "infra"
SUBSCRIPTION: Final = "11111111-1111-1111-1111-111111111111"
HOW: Final = (
    "The Bicep compiler is not here: install it (https://learn.microsoft.com/azure/azure-resource-manager/bicep/install)"
    " so that 'bicep' is on PATH, or name it in the environment variable BICEP."
)
SMALL: Final = {
    "AZURE_ENV_NAME": "energy-small",
    "AZURE_LOCATION": "westeurope",
    "DYNAMICS_365_RESOURCE_URL": "https://contoso.crm.dynamics.com",
}
"""What is needed and nothing else: public, one-way, nobody named."""

OPERATORS: Final = "22222222-2222-2222-2222-222222222222"
CMMS: Final = "33333333-3333-3333-3333-333333333333"
FULL: Final = {
    "AZURE_ENV_NAME": "energy-full",
    "AZURE_LOCATION": "swedencentral",
    "NAME_PREFIX": "acme-energy",
    "TAGS": '{"cost-center": "4711"}',
    "DYNAMICS_365_RESOURCE_URL": "https://fabrikam.crm4.dynamics.com",
    "DYNAMICS_365_ORGANIZATION_ID": "44444444-4444-4444-4444-444444444444",
    "DYNAMICS_365_TENANT_ID": "55555555-5555-5555-5555-555555555555",
    "DYNAMICS_365_CLIENT_ID": "66666666-6666-6666-6666-666666666666",
    "ACCEPT_PREVIOUS_WEBHOOK_KEY": "true",
    "CMMS_BASE_URL": "https://cmms.fabrikam.com",
    "CMMS_PRINCIPAL_ID": CMMS,
    "OPERATORS_PRINCIPAL_ID": OPERATORS,
    "TARGET_BASED_SCALING": "true",
    "ZONE_REDUNDANT": "true",
    "ALWAYS_READY": "2",
    "RECONCILE_MINUTES": "120",
    "ALLOWED_SERVICE_TAGS": '["AzureCloud"]',
    "ALLOWED_CIDRS": '["203.0.113.7/32"]',
    "FRONT_DOOR_ID": "88888888-8888-8888-8888-888888888888",
    "ALERT_EMAILS": '["people@fabrikam.com", "night@fabrikam.com"]',
    "ALERT_WEBHOOKS": '["https://logic.fabrikam.com/teams"]',
    "MONTHLY_BUDGET": "500",
    "BUDGET_START": "2026-01-01",
    "RUNBOOK_URL": "https://fabrikam.com/runbook.md",
}
"""Everything that a public installation can have."""

PRIVATE: Final = {
    "AZURE_ENV_NAME": "energy-private",
    "AZURE_LOCATION": "westeurope",
    "DYNAMICS_365_RESOURCE_URL": "https://contoso.crm4.dynamics.com",
    "CMMS_BASE_URL": "https://cmms.contoso.com",
    "OPERATORS_PRINCIPAL_ID": OPERATORS,
    "PRIVATE_NETWORK": "true",
    "FIXED_OUTBOUND_ADDRESS": "true",
    "ALERT_EMAILS": '["people@contoso.com"]',
}
"""A private network, made here, that nobody reaches from outside."""

_GIVEN: Final = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-hub/providers"
GIVEN_NETWORK: Final = f"{_GIVEN}/Microsoft.Network/virtualNetworks/vnet-hub"
GIVEN_VAULT: Final = f"{_GIVEN}/Microsoft.KeyVault/vaults/kv-hub"
GIVEN_WORKSPACE: Final = f"{_GIVEN}/Microsoft.OperationalInsights/workspaces/log-hub"
GIVEN_PEOPLE: Final = f"{_GIVEN}/Microsoft.Insights/actionGroups/ag-hub"
GIVEN: Final = {
    "AZURE_ENV_NAME": "energy-given",
    "AZURE_LOCATION": "usgovvirginia",
    "AZURE_CLOUD": "AzureUSGovernment",
    "DYNAMICS_365_RESOURCE_URL": "https://agency.crm9.dynamics.com",
    # One group both sends for the CMMS and runs the integration.
    "CMMS_PRINCIPAL_ID": OPERATORS,
    "OPERATORS_PRINCIPAL_ID": OPERATORS,
    "PRIVATE_NETWORK": "true",
    "INTEGRATION_SUBNET_ID": f"{GIVEN_NETWORK}/subnets/app",
    "ENDPOINTS_SUBNET_ID": f"{GIVEN_NETWORK}/subnets/endpoints",
    "PRIVATE_DNS": "elsewhere",
    "PRIVATE_MONITORING": "false",
    "ADMINISTRATOR_CIDRS": '["198.51.100.0/24", "203.0.113.9/32"]',
    "PUBLIC_WEBHOOK": "false",
    "SERVICE_BUS_UNITS": "2",
    "HOST_STORAGE_SCOPE": "account",
    "HOST_LOGS": "false",
    "EXISTING_WORKSPACE_ID": GIVEN_WORKSPACE,
    "EXISTING_VAULT_ID": GIVEN_VAULT,
    "EXISTING_ACTION_GROUP_IDS": f'["{GIVEN_PEOPLE}"]',
}
"""Everything that can be there already, in another cloud."""

TRIAL: Final = {
    "AZURE_ENV_NAME": "energy-trial",
    "AZURE_LOCATION": "westeurope",
    "DYNAMICS_365_RESOURCE_URL": "https://contoso.crm.dynamics.com",
    "VAULT_PURGE_PROTECTION": "false",
    "VAULT_RETENTION_DAYS": "7",
    "VAULT_RECOVER": "true",
    "RECONCILE_MINUTES": "5",
    "DAILY_LOG_GIGABYTES": "-1",
    "DYNAMICS_365_API_VERSION": "9.3",
    "DYNAMICS_365_BASE_URL": "https://gateway.contoso.com/api/data/v9.3",
    "DYNAMICS_365_WEBHOOK_HEADER": "x-other",
    "SYNC_MAPPING": "shared/mappings/mine.toml",
    "RECONCILE_SETTLE_SECONDS": "60",
    "RECONCILE_FULL_EVERY": "12",
    "RECONCILE_MAX_REPAIRS": "5",
    "RECONCILE_MODE": "report",
    "REPORT_RETENTION_DAYS": "7",
    "MAXIMUM_INSTANCES": "3",
    "INSTANCE_MEMORY": "512",
    "WEBHOOKS_PER_INSTANCE": "4",
    "SERVICE_BUS_TIER": "Premium",
    "SERVICE_BUS_UNITS": "4",
    "ALERT_BACKLOG_MINUTES": "5",
    "ALERT_FAILURE_PERCENT": "50",
    "ALERT_THROTTLES": "7",
    "LOG_RETENTION_DAYS": "60",
    "BACKUP_RETENTION_DAYS": "9",
}
"""What somebody tries and takes away again, with another value than the default wherever there is one."""

FASTER: Final = {"DOTNET_TieredPGO": "0"}
"""The compiler runs too briefly to win back what it would spend on optimizing itself: a fifth of its time."""

type Resource = dict[str, Any]


@cache
def find() -> str | None:
    """The compiler's path, or None."""
    beside = ROOT.parent / "shared" / "tools" / "bicep" / "bicep"
    return shutil.which("bicep") or os.environ.get("BICEP") or (str(beside) if beside.exists() else None)


def compiler() -> str:
    """The compiler's path; without it the test is skipped, or where CI promises one, fails."""
    found = find()
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(HOW, pytrace=False)
        pytest.skip(HOW)
    return found


def run(*arguments: str, env: Mapping[str, str] = SMALL) -> subprocess.CompletedProcess[str]:
    """Call the compiler with these parameters in the environment and none of this machine's."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "TMPDIR", "LANG"}}
    return subprocess.run(  # noqa: S603  # our own arguments
        [compiler(), *arguments],
        env={**kept, **FASTER, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def snapshot(folder: Path, env: Mapping[str, str]) -> list[Resource]:
    """Evaluate the deployment in `folder`, which must be a copy: the compiler writes beside the parameters."""
    done = run(
        *("snapshot", str(folder / "main.bicepparam"), "--subscription-id", SUBSCRIPTION),
        *("--location", env["AZURE_LOCATION"], "--mode", "overwrite"),
        env=env,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((folder / "main.snapshot.json").read_text(encoding="utf-8"))
    assert found.get("diagnostics", []) == []
    return list(found["predictedResources"])


def evaluated(shared: Path, env: Mapping[str, str], name: str = "") -> list[Resource]:
    """Evaluate infra/ as it is, once for all processes of a test run, which know the folder `shared`."""
    name = name or env["AZURE_ENV_NAME"]
    kept = shared / f"{name}.json"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            with tempfile.TemporaryDirectory() as folder:
                kept.write_text(json.dumps(snapshot(copy(Path(folder)), env)), encoding="utf-8")
    resources: list[Resource] = json.loads(kept.read_text(encoding="utf-8"))
    return resources


def copy(folder: Path) -> Path:
    """A copy of infra/ that may be changed."""
    return Path(shutil.copytree(INFRA, folder / "infra"))


def of_type(resources: list[Resource], kind: str) -> list[Resource]:
    """The resources of one type."""
    return [resource for resource in resources if resource["type"] == kind]


def one(resources: list[Resource], kind: str, name: str = "") -> Resource:
    """The resource of a type whose name ends so."""
    (found,) = [resource for resource in of_type(resources, kind) if resource["name"].endswith(name)]
    return found
