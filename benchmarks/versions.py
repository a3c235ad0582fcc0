"""What is measured, in which version."""

import json
import platform
import re
import shutil
import subprocess
from importlib.metadata import version
from typing import Final

from benchmarks.clients.peers import ALL, SDK, WEB_API
from benchmarks.runs import commit
from local.run import ROOT

_REQUIREMENTS: Final = ROOT / "requirements-bench.txt"
_PACKAGE: Final = ROOT / "benchmarks" / "clients" / "node" / "package.json"


def table() -> str:
    """The versions as rows of a table, without its head."""
    pinned = re.search(
        r"^powerplatform-dataverse-client==(\S+)", _REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE
    )
    package = json.loads(_PACKAGE.read_text(encoding="utf-8"))["dependencies"]["dynamics-web-api"]
    rows = {
        "this product": commit() or "unknown, since git is not here",
        "Python": platform.python_version(),
        "httpx, for the product and the document's client": version("httpx"),
        "PowerPlatform-Dataverse-Client": pinned[1] if pinned and SDK in _present() else "not here",
        "dynamics-web-api": package if WEB_API in _present() else "not here",
        "Node.js": _node(),
    }
    return "\n".join(f"| {name} | {value} |" for name, value in rows.items())


def _present() -> list[object]:
    return [peer for peer in ALL if peer.missing() is None]


def _node() -> str:
    program = shutil.which("node")
    if program is None:
        return "not here"
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
