"""Run the CMMS app's tests on each supported Django: `python cmms/tests/matrix.py [--only 4.2] [pytest options]`.

Each Django gets an environment of its own under `.local/matrix`, with the Python that it is usually run on; a Python
that is not present is named and left out. On PostgreSQL where it is installed, else on SQLite.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from on_database import TESTS, VARIABLES
from servers import postgresql

PAIRS = {"4.2": "3.10", "5.2": "3.11", "6.0": "3.12", "6.1": "3.13"}
ENVIRONMENTS = TESTS.parents[1] / ".local" / "matrix"


def interpreter(version: str) -> str | None:
    """A Python of this version: this one, one on PATH, or one of pyenv's."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return sys.executable
    of_pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    # pyenv's own commands on PATH work only for the versions that it has switched on.
    return str(of_pyenv[-1]) if of_pyenv else shutil.which(f"python{version}")


def environment(django: str, python: str) -> Path:
    """Make or refresh the environment, and give its Python."""
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if uv is None:
        sys.exit("uv was not found: pip install uv.")
    folder = ENVIRONMENTS / django
    made = folder / "bin" / "python"
    if not made.exists():
        _run([uv, "venv", "--quiet", "--python", python, str(folder)])
    wanted = [f"django=={django}.*", "-r", str(TESTS / "requirements.txt")]
    _run([uv, "pip", "install", "--quiet", "--python", str(made), *wanted])
    return made


def main() -> int:
    """Run all pairs; the exit code is the number of those that failed."""
    parser = argparse.ArgumentParser(description="The CMMS app's tests on each supported Django.")
    parser.add_argument("--only", choices=PAIRS, help="one Django")
    options, of_pytest = parser.parse_known_args()
    chosen = {options.only: PAIRS[options.only]} if options.only else PAIRS
    failed = []
    with contextlib.ExitStack() as stack:
        try:
            server = {VARIABLES["postgresql"]: str(stack.enter_context(postgresql()))}
        except FileNotFoundError:
            server = {}
        for django, version in chosen.items():
            python = interpreter(version)
            if python is None:
                print(f"Django {django}: Python {version} is not present; left out.", flush=True)  # noqa: T201 - a script
                continue
            where = "PostgreSQL" if server else "SQLite: PostgreSQL is not installed"
            print(f"Django {django} on Python {version}, {where}", flush=True)  # noqa: T201
            made = environment(django, python)
            command = [str(made), "-m", "pytest", "-c", str(TESTS / "matrix.ini"), str(TESTS), "-q", *of_pytest]
            if subprocess.run(command, env={**os.environ, **server}, check=False).returncode:  # noqa: S603 - our own arguments
                failed.append(django)
    return len(failed)


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True)  # noqa: S603 - our own arguments


if __name__ == "__main__":
    sys.exit(main())
