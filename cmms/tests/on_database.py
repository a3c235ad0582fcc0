"""Run the CMMS app's tests on a database server of their own.

`python cmms/tests/on_database.py postgresql|mariadb [pytest options]`
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from servers import SERVERS

TESTS = Path(__file__).resolve().parent
VARIABLES = {"postgresql": "CMMS_TESTS_POSTGRESQL", "mariadb": "CMMS_TESTS_MARIADB"}
# What these test does not depend on the database.
_ELSEWHERE = ("checks", "config", "demo", "fields", "language", "package", "service_bus")


def main() -> int:
    """Run pytest on the server; without its programs say so."""
    parser = argparse.ArgumentParser(description="The CMMS app's tests on a database server of their own.")
    parser.add_argument("server", choices=SERVERS)
    options, of_pytest = parser.parse_known_args()
    skipped = [f"--ignore={TESTS}/integracion/test_{name}.py" for name in _ELSEWHERE]
    command = [sys.executable, "-m", "pytest", str(TESTS), *skipped, *of_pytest]
    try:
        with SERVERS[options.server]() as port:
            environment = {**os.environ, VARIABLES[options.server]: str(port)}
            return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603 - our own arguments
    except FileNotFoundError as error:
        sys.stderr.write(
            f"{error} was not found: these tests were left out. Install the server"
            f" (Debian: apt-get install {options.server.replace('mariadb', 'mariadb-server')}) and run"
            f" make test-{options.server}.\n"
        )
        return 0


if __name__ == "__main__":
    sys.exit(main())
