"""Run the CMMS app's tests on a PostgreSQL cluster of their own: `python cmms/tests/on_postgresql.py [pytest options]`.

The cluster lives in a temporary folder, listens on loopback at a free port, and is removed at the end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parent
# What these test does not depend on the database.
_ELSEWHERE = ("checks", "config", "demo", "fields", "language", "package", "service_bus")
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")


def binaries() -> Path | None:
    """The folder with initdb and pg_ctl: the newest of Debian's, or what PATH names."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if found:
        return found[-1].parent
    return Path(on_path).parent if on_path else None


@contextlib.contextmanager
def cluster(programs: Path) -> Iterator[int]:
    """Start a cluster and give its port."""
    with tempfile.TemporaryDirectory(prefix="cmms-postgresql-") as folder, socket.socket() as probe:
        # PostgreSQL refuses to run as root; Debian's package brings a user for it.
        as_owner = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if as_owner:
            shutil.chown(folder, "postgres")
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        data, log = f"{folder}/data", f"{folder}/log"

        def run(program: str, *arguments: str) -> None:
            command = [*as_owner, str(programs / program), "-D", data, *arguments]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
            if done.returncode:
                sys.exit(f"{program} failed: {done.stdout}{done.stderr}")

        run("initdb", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        options = [f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", *_FAST]
        probe.close()
        run("pg_ctl", "-l", log, "-w", "-o", " ".join(f"-c {option}" for option in options), "start")
        try:
            yield port
        finally:
            run("pg_ctl", "-m", "immediate", "-w", "stop")


def main() -> int:
    """Run pytest on the cluster; without PostgreSQL say so."""
    programs = binaries()
    if programs is None:
        sys.stderr.write(
            "PostgreSQL is not installed: the CMMS app was tested on SQLite only, which has no races."
            " Install it (Debian: apt-get install postgresql) and run make test-postgresql.\n"
        )
        return 0
    with cluster(programs) as port:
        skipped = [f"--ignore={TESTS}/integracion/test_{name}.py" for name in _ELSEWHERE]
        command = [sys.executable, "-m", "pytest", str(TESTS), *skipped, *sys.argv[1:]]
        environment = {**os.environ, "CMMS_TESTS_POSTGRESQL": str(port)}
        return subprocess.run(command, env=environment, check=False).returncode  # noqa: S603 - our own arguments


if __name__ == "__main__":
    sys.exit(main())
