"""Asks modules for their help, each in a fork of one process that holds what most of them import.

`helped.py FOLDER MODULE...` runs each module with `--help` in a folder of its own below FOLDER, and prints JSON:
`{module: {"code": 0, "output": "...", "errors": "...", "left": []}}`; `left` are the files that it left behind.
"""

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any, NoReturn

import azure.servicebus.aio
import django
import httpx
import pydantic
import rich.console
import typer
import uvicorn

import shared.wiring

SHARED = (azure.servicebus.aio, django, httpx, pydantic, rich.console, typer, uvicorn, shared.wiring)


def help_of(module: str, folder: Path) -> dict[str, Any]:
    """Run a module with `--help`, and tell what it printed and left behind."""
    place, output, errors = folder / module, folder / f"{module}.out", folder / f"{module}.err"
    place.mkdir()
    number = os.fork()
    if number == 0:
        _become(module, place, output, errors)
    _, status = os.waitpid(number, 0)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "output": output.read_text(encoding="utf-8"),
        "errors": errors.read_text(encoding="utf-8"),
        "left": sorted(path.name for path in place.iterdir()),
    }


def _become(module: str, place: Path, output: Path, errors: Path) -> NoReturn:
    for stream, path in ((1, output), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    os.chdir(place)
    sys.argv = [module, "--help"]
    code = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    print(json.dumps({module: help_of(module, Path(sys.argv[1])) for module in sys.argv[2:]}))  # noqa: T201 - what the test reads
