"""What a security scanner says of the installations that the snapshots show: `make scan`.

The scanner (checkov) is heavy and has pins of its own, so it lives in `.venv-scan`. It reads the flattened snapshots:
of Bicep sources and of nested templates it sees nothing, and then says "0 failed". `infra/accepted.json` names each
finding that is accepted, where it appears, and why.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.infra.bicep import INFRA
from tests.infra.compiled import SETS, SNAPSHOTS

ACCEPTED: Final = INFRA / "accepted.json"
FEWEST: Final = 20
"""Checks that pass for each installation at the least: fewer means that the scanner saw nothing."""

_SCHEMA: Final = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"


def template(name: str) -> dict[str, Any]:
    """A snapshot as the one flat template that the scanner understands."""
    resources = json.loads((SNAPSHOTS / f"{name}.json").read_text(encoding="utf-8"))
    return {"$schema": _SCHEMA, "contentVersion": "1.0.0.0", "resources": resources}


def judge(report: Mapping[str, Any], accepted: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Compare the scanner's report with what is accepted.

    Returns:
        A sentence for each finding that nobody accepted, each accepted one that is gone, and each installation of which
        the scanner saw too little.
    """
    failed: dict[str, dict[str, str]] = {}
    for check in report["results"]["failed_checks"]:
        where = Path(check["file_path"]).stem
        failed.setdefault(check["check_id"], {})[where] = f"{check['check_name']} ({check['resource']})"
    said = [
        f"{check} in {where}: {text}. Mend it, or accept it in infra/accepted.json with a reason."
        for check, found in sorted(failed.items())
        for where, text in sorted(found.items())
        if where not in accepted.get(check, {}).get("in", [])
    ]
    said += [
        f"{check} in {where} is accepted in infra/accepted.json, and not found any more: take it out."
        for check, entry in sorted(accepted.items())
        for where in entry["in"]
        if where not in failed.get(check, {})
    ]
    for name in SETS:
        passed = [c for c in report["results"]["passed_checks"] if Path(c["file_path"]).stem == name]
        if len(passed) < FEWEST:
            said.append(f"The scanner passed only {len(passed)} checks of {name}: it did not see the resources.")
    return said


def main(arguments: list[str]) -> int:
    """Scan with the scanner that the first argument names.

    Returns:
        The exit code.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in SETS:
            (Path(folder) / f"{name}.json").write_text(json.dumps(template(name)), encoding="utf-8")
        done = subprocess.run(  # noqa: S603  # the scanner of our own environment
            [arguments[0], "--directory", folder, "--framework", "arm", "--skip-download", "--output", "json"],
            capture_output=True,
            text=True,
            check=False,
        )
    try:
        report = json.loads(done.stdout)
    except ValueError:
        sys.stderr.write(f"The scanner gave no report: {done.stderr.strip()[-500:]}\n")
        return 2
    said = judge(report, json.loads(ACCEPTED.read_text(encoding="utf-8")))
    sys.stdout.write("".join(f"{line}\n" for line in said))
    summary = report["summary"]
    sys.stdout.write(f"{summary['passed']} checks passed, {summary['failed']} findings, {len(said)} to be looked at.\n")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
