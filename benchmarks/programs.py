"""Programs of our own, run to their end."""

import subprocess
import sys
from collections.abc import Mapping, Sequence

from local.run import ROOT


def python(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run our interpreter with some arguments; gives what it printed.

    Raises:
        RuntimeError: The program failed; holds the end of what it said.
    """
    command: Sequence[str] = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise RuntimeError(f"{command} ended with exit code {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout
