"""What keeps an app from starting is said in full, and is fatal."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from local.emulators.functions_host.tests.running import start

_HEAD = "import azure.functions as func\napp = func.FunctionApp(http_auth_level='ANONYMOUS')\n"
_QUEUE = """
@app.service_bus_queue_trigger(arg_name="message", queue_name="{queue}", connection="Bus"{more})
def handle(message: func.ServiceBusMessage):
    pass
"""
_CONNECTION = "Endpoint=sb://localhost;SharedAccessKeyName=n;SharedAccessKey=topsecret;UseDevelopmentEmulator=true"


@dataclass
class Case:
    """A broken app, and what has to be said about it."""

    source: str | None
    said: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    host_json: str = '{"version": "2.0"}'


CASES = {
    "no function_app.py": Case(None, ("function_app.py does not exist", "Point --app")),
    "a module that is missing": Case("import not_there\n", ("import not_there", "No module named 'not_there'")),
    "an error while importing": Case(f"{_HEAD}1 / 0\n", ("ZeroDivisionError", "line 3, in <module>", "Correct")),
    "no function": Case(_HEAD, ("defines no function", "register each blueprint")),
    "a parameter that is not bound": Case(
        f"{_HEAD}@app.route('x')\ndef f(req: func.HttpRequest, other: str) -> str:\n    return ''\n",
        ("cannot load the f function", "other"),
    ),
    "no connection": Case(
        _HEAD + _QUEUE.format(queue="q", more=""), ("'handle'", "neither the setting Bus", "Set one")
    ),
    "no host.json": Case(_HEAD, ("host.json cannot be read", "create one"), host_json=""),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Exit code and output of each case. All run at once, since a start is mostly waiting for imports."""
    processes: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}
    for name, case in CASES.items():
        folder = tmp_path_factory.mktemp("app")
        if case.host_json:
            (folder / "host.json").write_text(case.host_json)
        if case.source is not None:
            (folder / "function_app.py").write_text(case.source)
        log = folder / "log"
        with log.open("wb") as output:
            processes[name] = start(folder, case.settings, [], output.fileno()), log
    try:
        return {name: (process.wait(120), log.read_text()) for name, (process, log) in processes.items()}
    finally:
        for process, _ in processes.values():
            process.kill()
            process.wait()
            if process.stdin:
                process.stdin.close()


@pytest.mark.parametrize("name", CASES)
def test_what_is_wrong_is_said_and_ends_the_host(name: str, outcomes: dict[str, tuple[int, str]]) -> None:
    code, output = outcomes[name]

    assert code == 1, output
    last = output.rstrip().splitlines()[-1]
    assert last.startswith("The host cannot start. "), output
    assert last.endswith("."), output
    for text in CASES[name].said:
        assert text in output
    assert "topsecret" not in output
    assert "\nready" not in output
