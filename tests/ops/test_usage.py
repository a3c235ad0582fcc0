"""What a person types: help that reads like a manual, and mistakes that are answered by a sentence."""

import importlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import ops.session
import ops.settings
from ops.app import HELP, app
from shared.errors import ConfigurationError, Unavailable

ROOT = Path(__file__).resolve().parents[2]
COMMAND: Any = typer.main.get_command(app)  # of the click that typer brings along
SETTINGS = {
    "DYNAMICS_365_RESOURCE_URL": "http://127.0.0.1:9",
    "DYNAMICS_365_WEBHOOK_SECRET": "a-secret-of-this-test",
    "SYNC_LEDGER": "sqlite:///:memory:",
    "ServiceBusConnection": "Endpoint=sb://localhost:9;SharedAccessKeyName=x;SharedAccessKey=x;"
    "UseDevelopmentEmulator=true;",
    "DYNAMICS_365_CLIENT_SECRET": "not-used",
    "DYNAMICS_365_CLIENT_ID": "c",
    "DYNAMICS_365_TENANT_ID": "t",
}


def commands(group: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= commands(command, (*path, name))
        else:
            found[*path, name] = command
    return found


COMMANDS = commands(COMMAND)


def texts() -> list[str]:
    helps = [command.help or "" for command in COMMANDS.values()]
    return [HELP, *helps, (ROOT / "docs" / "ops.md").read_text(encoding="utf-8")]


def examples() -> list[str]:
    found = [
        line
        for text in texts()
        for line in re.findall(r"^\s*(?:\$ )?(?:\.venv/bin/)?python -m ops (.+)$", text, re.MULTILINE)
    ]
    return sorted({line.partition(" # ")[0].partition(" | ")[0].strip() for line in found})


def test_every_command_has_help_with_an_example() -> None:
    for path, command in COMMANDS.items():
        assert "For example:" in (command.help or ""), path
        assert all(option.help for option in command.params if option.param_type_name == "option"), path


@pytest.mark.parametrize("line", examples())
def test_every_example_is_a_line_that_can_be_typed(line: str) -> None:
    arguments = shlex.split(line)
    command = COMMAND
    while hasattr(command, "commands") and not arguments[0].startswith("-"):
        command = command.commands[arguments.pop(0)]
    if arguments != ["--help"]:
        command.make_context("ops", arguments)


def test_every_command_can_print_json_and_work_on_the_local_stack() -> None:
    for path, command in COMMANDS.items():
        options = {name for param in command.params for name in param.opts}
        assert {"--json", "--local", "--verbose", "--settings"} <= options, path


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.setenv("DYNAMICS_365_RESOURCE_URL", "")  # what a command puts there itself is taken away again
    for name in list(os.environ):
        if name.startswith(("DYNAMICS_", "CMMS_", "SYNC_", "ServiceBus", "IDENTITY_", "AZURE_", "OPS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setattr(ops.session, "read_stack", lambda: ops.settings.read_stack(tmp_path))
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_missing_settings_are_named_and_end_with_2(environment: pytest.MonkeyPatch) -> None:
    result = run("parked", "list")
    assert result.exit_code == 2
    assert "DYNAMICS_365_RESOURCE_URL is missing" in result.stderr
    assert "Traceback" not in result.stderr


def test_check_takes_missing_settings_for_a_finding(environment: pytest.MonkeyPatch) -> None:
    result = run("check", "--json")
    assert result.exit_code == 1
    (finding,) = json.loads(result.stdout)["findings"]
    assert "DYNAMICS_365_RESOURCE_URL" in finding["message"]


def test_each_missing_setting_has_a_line_of_its_own_in_check(environment: pytest.MonkeyPatch) -> None:
    lines = CliRunner().invoke(app, ["check"]).output.splitlines()
    assert not any(r"\n" in line for line in lines)
    for name in ("DYNAMICS_365_RESOURCE_URL", "DYNAMICS_365_WEBHOOK_SECRET", "SYNC_LEDGER"):
        assert sum(f"{name} is missing" in line for line in lines) == 1


@pytest.mark.parametrize("path", [(), ("parked",), ("mapping",), ("first-sync",)], ids=" ".join)
def test_no_command_is_described_by_half_a_sentence(path: tuple[str, ...]) -> None:
    commands = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "80"}).output.partition("Commands:")[2]
    assert commands
    assert "..." not in commands


def test_where_settings_can_come_from_is_told_where_they_are_missing(environment: pytest.MonkeyPatch) -> None:
    for arguments in (("parked", "list"), ("check",)):
        shown = " ".join(run(*arguments).output.split())
        assert "--settings FILE" in shown
        assert "--local" in shown


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert run("--version").stdout.strip() == f"energy-dynamics-sync {project['version']}"


def test_the_console_script_is_the_same_command_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, name = project["scripts"]["energy-sync"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize("path", COMMANDS.keys(), ids=" ".join)
def test_an_example_stays_on_its_line_at_any_width(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "60"}).output
    wanted = [line.strip() for line in (COMMANDS[path].help or "").splitlines() if line.strip().startswith("python -m")]
    assert wanted
    assert all(line in [one.strip() for one in shown.splitlines()] for line in wanted)


def test_a_stack_that_does_not_run_ends_with_3(environment: pytest.MonkeyPatch) -> None:
    result = run("check", "--local")
    assert (result.exit_code, "make up" in result.stderr) == (3, True)


def test_an_error_is_json_where_json_was_asked_for(environment: pytest.MonkeyPatch) -> None:
    result = run("drift", "--local", "--json")
    assert (result.exit_code, json.loads(result.stdout)["error"]["reason"]) == (3, "unavailable")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("resync", "--entity", "asset"), "--key, --since and --all"),
        (("resync", "--entity", "asset", "--key", "1", "--all"), "--key, --since and --all"),
        (("resync", "--entity", "nonsense", "--all"), "the mapping has asset, order"),
        (("resync", "--entity", "asset", "--since", "yesterday"), "neither an age"),
        (("resync", "--entity", "asset", "--key", " x "), "spaces around it"),
        (("show", "--entity", "asset", "--key", "x" * 51), "51 characters"),
        (("parked", "replay"), "--all"),
        (("parked", "discard", "1"), "needs a reason"),
        (("parked", "list", "--older-than", "soon"), "is no age"),
        (("provision", "--json"), "cannot ask"),
        (("drift",), "one-way"),
        (("parked", "list", "--entity", "assets"), "the mapping has asset, order"),
        (("parked", "replay", "--entity", "nope"), "the mapping has asset, order"),
        (("status", "--watch", "--json"), "leave --watch out"),
        (("tail", "--since", "soon"), "is no age"),
        (("tail", "--no-follow"), "OPS_WORKSPACE_ID"),
        (("tail", "--entity", "nope"), "the mapping has asset, order"),
        (("console", "--json"), "status --json"),
        (("mapping", "check", "nowhere.toml"), "There is no file nowhere.toml"),
        (("mapping", "plan", "nowhere.toml"), "There is no file nowhere.toml"),
    ],
)
def test_a_mistake_is_answered_by_a_sentence_and_2(
    environment: pytest.MonkeyPatch, arguments: tuple[str, ...], says: str
) -> None:
    for name, value in SETTINGS.items():
        environment.setenv(name, value)
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in " ".join(result.output.split())
    assert "Traceback" not in result.stderr


def test_settings_are_read_from_both_kinds_of_file(tmp_path: Path) -> None:
    local = tmp_path / "local.settings.json"
    local.write_text('{"IsEncrypted": false, "Values": {"A": "1"}}', encoding="utf-8")
    azure = tmp_path / "app.json"
    azure.write_text('[{"name": "A", "value": "1", "slotSetting": false}, {"name": "B", "value": null}]')
    assert ops.settings.read_file(local) == ops.settings.read_file(azure) == {"A": "1"}


@pytest.mark.parametrize("text", ["", "[]x", '{"A": 1}', '"text"'])
def test_another_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "wrong.json"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"wrong\.json"):
        ops.settings.read_file(file)


def stack(runs: Path, name: str, pid: int, settings: str) -> None:
    folder = runs / f"run-{name}"
    folder.mkdir()
    (folder / "pid").write_text(str(pid))
    (folder / "stack.env").write_text(settings)


def test_the_stack_settings_keep_equal_signs_in_values(tmp_path: Path) -> None:
    stack(tmp_path, "a", os.getpid(), "# comment\nServiceBusConnection=Endpoint=sb://x;Key=a=\n")
    assert ops.settings.read_stack(tmp_path) == {"ServiceBusConnection": "Endpoint=sb://x;Key=a="}
    with pytest.raises(Unavailable, match="make up"):
        ops.settings.read_stack(tmp_path / "nothing")


def test_of_several_stacks_the_newest_that_runs_is_meant(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    for age, (name, pid) in enumerate([("killed", ended.pid), ("newer", os.getpid()), ("older", os.getpid())]):
        stack(tmp_path, name, pid, f"NAME={name}\n")
        os.utime(tmp_path / f"run-{name}" / "stack.env", (1e9 - age, 1e9 - age))
    assert ops.settings.read_stack(tmp_path) == {"NAME": "newer"}


def test_settings_of_one_installation_leave_nothing_of_another_one(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DYNAMICS_365_CLIENT_SECRET", "of the other one")
    environment.setenv("DYNAMICS_365_BASE_URL", "https://other.example/api")
    environment.setenv("PATH_OF_OURS", "stays")
    ops.settings.apply({"DYNAMICS_365_RESOURCE_URL": "http://127.0.0.1:9"})
    ours = {name for name in os.environ if name.startswith("DYNAMICS_")}
    assert (ours, os.environ["PATH_OF_OURS"]) == ({"DYNAMICS_365_RESOURCE_URL"}, "stays")


def test_an_address_of_the_shell_gives_way_to_that_of_the_named_installation(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OPS_WEBHOOK_URL", "https://production.example/api")
    environment.setenv("SYNC_MAPPING", "mine.toml")
    environment.setenv("DYNAMICS_365_API_VERSION", "9.2")
    ignored = ops.settings.apply({"DYNAMICS_365_API_VERSION": "9.2"})
    assert "OPS_WEBHOOK_URL" not in os.environ
    assert ignored == ["OPS_WEBHOOK_URL", "SYNC_MAPPING"]


INTERRUPTED = """
import os, signal, sys
from ops.__main__ import main

class Interrupting:
    def find_spec(self, name, *_):
        if name == "ops.app":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
main()
"""


def test_a_command_that_is_interrupted_while_it_starts_shows_no_trace() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, check=False, timeout=60)  # noqa: S603
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")
