"""The clients beside which the product is measured: where each is found, and how it is run."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.clients.job import Answer, Job
from local.run import ROOT

_ENVIRONMENT: Final = ROOT / ".venv-bench"
_HERE: Final = Path(__file__).parent
_NODE: Final = _HERE / "node"
_MOST_SECONDS: Final = 1800.0


@dataclass(frozen=True)
class Peer:
    """A client; `missing` says why it cannot be run here, or nothing."""

    name: str
    label: str
    command: Callable[[], list[str]]
    missing: Callable[[], str | None]

    def start(self, job: Job) -> subprocess.Popen[str]:
        """Start the client on a job."""
        child = subprocess.Popen(  # noqa: S603  # our own programs
            self.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert child.stdin is not None  # noqa: S101  # a pipe was asked for
        json.dump(job.to_json(), child.stdin)
        child.stdin.close()
        child.stdin = None
        return child

    def finish(self, child: subprocess.Popen[str]) -> Answer:
        """Wait for the client's answer.

        Raises:
            RuntimeError: The client did not end well.
        """
        said, _ = child.communicate(timeout=_MOST_SECONDS)
        if child.returncode:
            raise RuntimeError(f"{self.label} ended with exit code {child.returncode}.")
        return Answer(**json.loads(said))


def _sdk_missing() -> str | None:
    return (
        None
        if (_ENVIRONMENT / ".ready").exists()
        else "its environment .venv-bench could not be made: `make bench` says why"
    )


def _node_missing() -> str | None:
    if shutil.which("node") is None:
        return "this machine has no Node.js"
    if not (_NODE / "node_modules" / "dynamics-web-api").exists():
        return "`npm ci` could not install it: `make bench` says why"
    return None


SDK: Final = Peer(
    "sdk",
    "Microsoft's SDK for Python, 8 tasks",
    lambda: [str(_ENVIRONMENT / "bin" / "python"), "-c", "from benchmarks.clients.sdk import run; run()"],
    _sdk_missing,
)
WEB_API: Final = Peer(
    "webapi",
    "dynamics-web-api, 8 tasks",
    lambda: ["node", str(_NODE / "webapi.mjs")],
    _node_missing,
)
DOCUMENT: Final = Peer(
    "document",
    "the document's client, 8 tasks",
    lambda: [sys.executable, "-c", "from benchmarks.clients.document import run; run()"],
    lambda: None,
)
ALL: Final = (SDK, WEB_API, DOCUMENT)
