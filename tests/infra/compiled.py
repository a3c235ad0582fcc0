"""What is compiled from infra/ and committed: the button's template, and the snapshots of two installations.

`make template` writes them (`python -m tests.infra.compiled`); tests say when they are not current.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.infra import bicep

TEMPLATE: Final = bicep.INFRA / "azuredeploy.json"
SNAPSHOTS: Final = Path(__file__).parent / "snapshots"
SETS: Final = {"public": bicep.SMALL, "private": bicep.PRIVATE}
"""The parameters of each snapshot."""


def build() -> subprocess.CompletedProcess[str]:
    """Compile the button's template, which refers to every other file."""
    return bicep.run("build", str(bicep.INFRA / "button.bicep"), "--stdout")


def template(built: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The button's template without what names the compiler."""
    assert built.returncode == 0, built.stderr
    found: dict[str, Any] = _without_generator(json.loads(built.stdout))
    return found


def readable(resources: list[bicep.Resource]) -> list[bicep.Resource]:
    """Resources in a fixed order, without the workbook's text, which is a file of its own."""
    found = json.loads(json.dumps(resources))
    for resource in found:
        if resource["type"] == "Microsoft.Insights/workbooks":
            resource["properties"]["serializedData"] = "infra/workbooks/sync.json"
    return sorted(found, key=lambda resource: (resource["type"], resource["id"]))


def text(value: object) -> str:
    """As it is committed."""
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def _without_generator(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_generator(one) for name, one in value.items() if name != "_generator"}
    return [_without_generator(one) for one in value] if isinstance(value, list) else value


def main() -> None:
    """Write all of it."""
    TEMPLATE.write_text(text(template(build())), encoding="utf-8")
    SNAPSHOTS.mkdir(exist_ok=True)
    for name, env in SETS.items():
        with tempfile.TemporaryDirectory() as folder:
            found = readable(bicep.snapshot(bicep.copy(Path(folder)), env))
        (SNAPSHOTS / f"{name}.json").write_text(text(found), encoding="utf-8")
    sys.stdout.write(f"Wrote {TEMPLATE.name} and the snapshots {', '.join(SETS)}.\n")


if __name__ == "__main__":
    main()
