"""App settings: the environment, completed by a `local.settings.json`."""

import json
import os
import re
from pathlib import Path

from local.emulators.functions_host.errors import StartError

_PLACEHOLDER = re.compile(r"%([^%\s]+)%")


def load_local_settings(path: Path) -> None:
    """Put the file's `Values` into the environment, which keeps what it already has.

    Raises:
        StartError: the file is missing, is not JSON, is encrypted, or has a value that is not text.
    """
    try:
        document = json.loads(path.read_bytes())  # whatever byte order mark is before it
    except OSError as error:
        raise StartError(
            f"The settings file {path} cannot be read ({error.strerror}). "
            "Create it from local.settings.json.example, or leave --settings out."
        ) from error
    except ValueError as error:
        raise StartError(f"The settings file {path} is not JSON ({error}). Correct it.") from error
    values = document.get("Values", {}) if isinstance(document, dict) else None
    if not isinstance(values, dict):
        raise StartError(f'The settings file {path} needs the form {{"Values": {{"NAME": "text"}}}}. Correct it.')
    if document.get("IsEncrypted"):
        raise StartError(f"The settings file {path} is encrypted. Decrypt it with 'func settings decrypt'.")
    for name, value in values.items():
        if not isinstance(value, str):
            raise StartError(f"{name} in {path} is not text. Put its value in quotation marks.")
        os.environ.setdefault(name, value)


def setting(name: str) -> str | None:
    """The setting's value; a colon in the name may be written as two underscores, as in Azure on Linux."""
    return os.environ.get(name) or os.environ.get(name.replace(":", "__")) or None


def resolve(text: str, *, function: str, attribute: str) -> str:
    """Replace each `%NAME%` by the setting of that name.

    Raises:
        StartError: a setting is missing or empty.
    """

    def value(match: re.Match[str]) -> str:
        found = setting(match[1])
        if found is None:
            raise StartError(
                f"Function '{function}': its {attribute} is {text}, but the setting {match[1]} is not set. "
                f'Set it in the environment or under "Values" of local.settings.json.'
            )
        return found

    return _PLACEHOLDER.sub(value, text)
