"""Where the command line finds its settings: the environment, a file, or the running local stack."""

import json
import os
from pathlib import Path
from typing import Any, Final

from shared.errors import ConfigurationError, Unavailable

STACK: Final = Path(__file__).resolve().parent.parent / ".local" / "stack.env"
"""Written by the local stack for as long as it runs."""


def read_stack(path: Path = STACK) -> dict[str, str]:
    """The settings of the running local stack.

    Raises:
        Unavailable: It does not run.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        raise Unavailable("The local stack does not run: start it with 'make up' in another terminal.") from None
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def read_file(path: Path) -> dict[str, str]:
    """The settings in a `local.settings.json`, or in what `az functionapp config appsettings list` prints.

    Raises:
        ConfigurationError: The file is missing, or neither of them.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as JSON ({type(error).__name__}).") from None
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


def apply(settings: dict[str, str]) -> None:
    """Put settings into this process's environment, where the product reads them."""
    os.environ.update(settings)
