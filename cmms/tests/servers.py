"""Database servers of the tests' own: in a temporary folder, on loopback at a free port, removed at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_QUICK_POSTGRESQL = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")
_QUICK_MARIADB = ("--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--skip-log-bin")
_START_LIMIT = 60.0


@contextlib.contextmanager
def postgresql() -> Iterator[int]:
    """Start a PostgreSQL cluster and give its port.

    Raises:
        FileNotFoundError: PostgreSQL is not installed.
    """
    programs = _postgresql_programs()
    with _place("postgres") as (folder, port, as_owner):

        def run(program: str, *arguments: str) -> None:
            _run([*as_owner, str(programs / program), "-D", f"{folder}/data", *arguments], folder)

        run("initdb", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        options = [f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", *_QUICK_POSTGRESQL]
        run("pg_ctl", "-l", f"{folder}/log", "-w", "-o", " ".join(f"-c {option}" for option in options), "start")
        try:
            yield port
        finally:
            run("pg_ctl", "-m", "immediate", "-w", "stop")


@contextlib.contextmanager
def mariadb() -> Iterator[int]:
    """Start a MariaDB server and give its port.

    Raises:
        FileNotFoundError: MariaDB is not installed.
    """
    installer, server = _on_path("mariadb-install-db"), _on_path("mariadbd")
    with _place("mysql") as (folder, port, as_owner):
        data = f"--datadir={folder}/data"
        _run([*as_owner, installer, "--no-defaults", data, "--auth-root-authentication-method=normal"], folder)
        where = ["--bind-address=127.0.0.1", f"--port={port}", f"--socket={folder}/socket", f"--log-error={folder}/log"]
        command = [*as_owner, server, "--no-defaults", data, *where, "--character-set-server=utf8mb4", *_QUICK_MARIADB]
        with subprocess.Popen(command, cwd=folder) as running:  # noqa: S603 - our own arguments
            try:
                _await_port(port, running)
                yield port
            finally:
                running.terminate()


SERVERS: dict[str, Callable[[], contextlib.AbstractContextManager[int]]] = {
    "postgresql": postgresql,
    "mariadb": mariadb,
}


@contextlib.contextmanager
def _place(user: str) -> Iterator[tuple[str, int, list[str]]]:
    """A folder, a free port, and what begins a command: neither server runs as root, each brings a user of its own."""
    with tempfile.TemporaryDirectory(prefix=f"cmms-{user}-") as folder, socket.socket() as probe:
        as_root = os.geteuid() == 0
        if as_root:
            shutil.chown(folder, user)
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        probe.close()
        yield folder, port, ["runuser", "-u", user, "--"] if as_root else []


def _postgresql_programs() -> Path:
    """The folder with initdb and pg_ctl: the newest of Debian's, or what PATH names."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else Path(_on_path("initdb")).parent


def _on_path(program: str) -> str:
    # Debian keeps servers out of a person's PATH.
    found = shutil.which(program, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    if found is None:
        raise FileNotFoundError(program)
    return found


def _run(command: list[str], folder: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - our own arguments
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed: {done.stdout}{done.stderr}")


def _await_port(port: int, running: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_LIMIT
    while running.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    sys.exit(f"The server at port {port} did not start within {_START_LIMIT:g} s.")
