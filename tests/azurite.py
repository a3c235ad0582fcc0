"""Azurite, Microsoft's storage emulator, from the npm registry: installed once, started on a free port, stopped."""

import fcntl
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import pytest

VERSION: Final = "3.37.0"
ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / "build" / "azurite"
SERVICES: Final = FOLDER / "node_modules" / "azurite" / "dist" / "src"
START_SECONDS: Final = 60.0


class AzuriteMissing(Exception):
    """Azurite cannot be had on this machine; the message says why and what to do."""


@contextmanager
def azurite(service: Literal["table", "blob"], needed: str, *options: str) -> Iterator[str]:
    """Run one service for as long as the block; gives the account's address, by HTTPS if `options` name a certificate.

    The account and its key are the emulator's published ones, which the SDK knows: there is no secret. Without Node the
    test is skipped, but fails where CI is set; `needed` says what is not checked then.
    """
    try:
        with _running(service, *options) as url:
            yield url
    except AzuriteMissing as error:
        reason = f"{needed} is not checked on Azurite: {error}"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@contextmanager
def _running(service: str, *options: str) -> Iterator[str]:
    node = _install()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        node,
        str(SERVICES / service / "main.js"),
        f"--{service}Host",
        "127.0.0.1",
        f"--{service}Port",
        str(port),
        "--inMemoryPersistence",
        "--silent",
        "--disableTelemetry",
        *options,
    ]
    child = subprocess.Popen(  # noqa: S603  # a pinned package of our own choice
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        _wait(child, port)
        yield f"{'https' if '--cert' in options else 'http'}://127.0.0.1:{port}/devstoreaccount1"
    finally:
        child.terminate()
        try:
            child.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()


def _install() -> str:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise AzuriteMissing("Node.js with npm was not found: install Node.js 20 or newer (https://nodejs.org).")
    FOLDER.mkdir(parents=True, exist_ok=True)
    ready = FOLDER / f".ready-{VERSION}"
    with (FOLDER / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            done = subprocess.run(  # noqa: S603  # npm, as the shell finds it
                [npm, "install", "--prefix", str(FOLDER), "--no-audit", "--no-fund", "--silent", f"azurite@{VERSION}"],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                raise AzuriteMissing(f"npm could not install azurite {VERSION}: {(done.stderr or done.stdout)[-500:]}")
            ready.touch()
    return node


def _wait(child: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if child.poll() is not None or time.monotonic() > until:
            child.kill()
            raise RuntimeError(f"Azurite did not start: {child.communicate()[0].decode(errors='replace')[-500:]}")
        time.sleep(0.05)
