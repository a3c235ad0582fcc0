"""Writes what the docs say of the code: `.venv/bin/python -m docs.generate`. A test holds them together."""  # noqa: INP001  # no package is shipped from here

import argparse
import json
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from shared.domain.messages.events import DATA, Event
from shared.domain.messages.queues import OF_ENTITY
from shared.settings import Settings, setting_name

DOCS: Final = Path(__file__).parent
SETTINGS_HEAD: Final = """\
# Settings

Read once per worker from the environment: application settings in Azure, `local.settings.json` (copied from
`local.settings.json.example`) on one machine, where Azure Functions Core Tools and
`.venv/bin/python -m local.emulators.functions_host --app . --settings local.settings.json` read it. `make up` needs
none: it makes its own.
An empty setting counts as unset. In Azure a secret is a Key Vault reference; one that Azure could not resolve is
refused. This file is written by `.venv/bin/python -m docs.generate`.

One of `ServiceBusConnection__fullyQualifiedNamespace` and `ServiceBusConnection` is needed.

| Setting | Default | What it is |
|---|---|---|
"""


def settings_page() -> str:
    """The page of all settings, from the descriptions in the code."""
    rows = [
        f"| `{setting_name(name)}` | {_default(field)} | {_sentence(field)} |"
        for name, field in Settings.model_fields.items()
    ]
    return SETTINGS_HEAD + "\n".join(rows) + "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**needed**"
    default = field.default
    if default is None or default == "" or isinstance(default, SecretStr):
        return ""
    if isinstance(default, Path):
        default = default.relative_to(DOCS.parent).as_posix()
    return f"`{default}`"


def _sentence(field: FieldInfo) -> str:
    text = (field.description or "").replace("|", "\\|")
    secret = " (secret)" if field.annotation is SecretStr else ""
    return text[:1].upper() + text[1:] + secret + "."


def schemas() -> dict[str, str]:
    """The JSON Schema of each kind of message, by file name."""
    return {f"{kind}.json": json.dumps(_schema(kind), indent=2) + "\n" for kind in DATA}


def _schema(kind: str) -> dict[str, Any]:
    prefix = "sync" if kind == "dirty" else "energy"
    schema = Event.model_json_schema()
    data = DATA[kind].model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = f"{prefix}.<entity>.{kind}"
    schema["properties"]["type"] = {"type": "string", "pattern": rf"^{prefix}\.({'|'.join(OF_ENTITY)})\.{kind}$"}
    schema["properties"]["data"] = {name: value for name, value in data.items() if name != "$defs"}
    definitions = schema.get("$defs", {}) | data.get("$defs", {})
    return schema | ({"$defs": definitions} if definitions else {})


def pages() -> dict[Path, str]:
    """Every generated file with its content."""
    return {DOCS / "settings.md": settings_page()} | {DOCS / "schemas" / name: text for name, text in schemas().items()}


def main() -> None:
    """Write them all, and say which."""
    argparse.ArgumentParser(prog="python -m docs.generate", description=__doc__).parse_args()
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
