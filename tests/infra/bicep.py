"""The real Bicep compiler, wherever this machine has it."""

import json
import os
import shutil
import subprocess
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
OPERATORS: Final = "22222222-2222-2222-2222-222222222222"
CMMS: Final = "33333333-3333-3333-3333-333333333333"
FULL: Final = {
    "AZURE_ENV_NAME": "energy-full",
    "AZURE_LOCATION": "swedencentral",
    "DYNAMICS_365_RESOURCE_URL": "https://fabrikam.crm4.dynamics.com",
    "DYNAMICS_365_ORGANIZATION_ID": "44444444-4444-4444-4444-444444444444",
    "DYNAMICS_365_TENANT_ID": "55555555-5555-5555-5555-555555555555",
    "DYNAMICS_365_CLIENT_ID": "66666666-6666-6666-6666-666666666666",
    "ACCEPT_PREVIOUS_WEBHOOK_KEY": "true",
    "CMMS_BASE_URL": "https://cmms.fabrikam.com",
    "CMMS_PRINCIPAL_ID": CMMS,
    "OPERATORS_PRINCIPAL_ID": OPERATORS,
    "TARGET_BASED_SCALING": "true",
    "RECONCILE_MINUTES": "120",
    "ALLOWED_SERVICE_TAGS": '["AzureCloud"]',
    "ALERT_EMAIL": "people@fabrikam.com",
    "RUNBOOK_URL": "https://fabrikam.com/runbook.md",
}

type Resource = dict[str, Any]


@cache
def compiler() -> str:
    """Find the compiler, or skip; where CI promises one, fail."""
    beside = ROOT.parent / "shared" / "tools" / "bicep" / "bicep"
    found = shutil.which("bicep") or os.environ.get("BICEP") or (str(beside) if beside.exists() else None)
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(HOW, pytrace=False)
        pytest.skip(HOW)
    return found


def run(*arguments: str, env: Mapping[str, str] = SMALL) -> subprocess.CompletedProcess[str]:
    """Call the compiler with these parameters in the environment and none of this machine's."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "TMPDIR", "LANG"}}
    return subprocess.run(  # noqa: S603  # our own arguments
        [compiler(), *arguments], env={**kept, **env}, capture_output=True, text=True, check=False, timeout=120
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
    return list(found["predictedResources"])


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
