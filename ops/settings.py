"""Where the command line finds its settings: the environment, a file, or the running local stack."""

import json
import os
from pathlib import Path
from typing import Any, Final

from local.alive import alive
from ops.vault import Vaults
from shared.errors import ConfigurationError, Unavailable
from shared.settings import Settings, setting_name

RUNS: Final = Path(__file__).resolve().parent.parent / ".local"
"""Where the local stack has a folder for each run, with `stack.env` in it for as long as it runs."""
WEBHOOK_URL: Final = "OPS_WEBHOOK_URL"
"""The operator's own setting: where Dynamics is to call. The functions do not read it."""
LOG: Final = "OPS_LOG"
"""The file that the functions log to; the local stack sets it."""
WORKSPACE: Final = "OPS_WORKSPACE_ID"
"""The id of the Log Analytics workspace that the functions log to."""
_OURS: Final = frozenset(
    name.lower() for name in (*(setting_name(field) for field in Settings.model_fields), WEBHOOK_URL, LOG, WORKSPACE)
)


def read_stack(runs: Path = RUNS) -> dict[str, str]:
    """The settings of the running local stack; of the one that was started last, where several run.

    Raises:
        Unavailable: None runs.
    """
    found = [(path.stat().st_mtime_ns, path) for path in runs.glob("run-*/stack.env") if alive(path.parent)]
    if not found:
        raise Unavailable("The local stack does not run: start it with 'make up' in another terminal.")
    _, newest = max(found)
    lines = newest.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def read_file(path: Path) -> dict[str, str]:
    """The settings in a `local.settings.json`, or in what `az functionapp config appsettings list` prints.

    Raises:
        ConfigurationError: The file is missing, or neither of them.
    """
    try:
        # By its bytes: a shell on Windows writes what az prints as UTF-16, and editors put a mark before UTF-8.
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise ConfigurationError(
            f"The settings file {path} cannot be read ({why}): name a local.settings.json, or what"
            " 'az functionapp config appsettings list' prints, with --settings."
        ) from None
    values: dict[str, Any] | None = None
    if isinstance(found, dict) and isinstance(found.get("Values"), dict):
        values = found["Values"]
    elif isinstance(found, list) and all(isinstance(one, dict) and "name" in one for one in found):
        values = {one["name"]: one.get("value") for one in found}
    if values is None:
        raise ConfigurationError(
            f"{path} is neither a local.settings.json (with Values) nor a list of names and values as"
            " 'az functionapp config appsettings list' prints it."
        )
    return {name: str(value) for name, value in values.items() if value is not None}


def follow_references(vaults: Vaults) -> None:
    """Put the secrets in place of the Key Vault references in this process's environment.

    Raises:
        SyncError: As `Vaults.resolve`.
    """
    ours = {name: value for name, value in os.environ.items() if name.lower() in _OURS}
    os.environ.update(vaults.resolve(ours))


def apply(settings: dict[str, str]) -> list[str]:
    """Put settings into this process's environment, where the product reads them, in place of all that it held.

    What they leave out is unset: nobody who names one installation may reach another by what the shell still holds.

    Returns:
        The names of the settings that the environment held with another value, and that do not count.
    """
    held = {name: os.environ.pop(name) for name in list(os.environ) if name.lower() in _OURS}
    os.environ.update(settings)
    given = {name.lower(): value for name, value in settings.items()}
    return sorted(name for name, value in held.items() if value and given.get(name.lower()) != value)
