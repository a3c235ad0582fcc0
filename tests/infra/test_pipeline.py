import json
import os
import re
import stat
import subprocess
from pathlib import Path

import pathspec
import pytest

from tests.infra.bicep import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
DEPLOYED = {"function_app.py", "functions", "host.json", "requirements.txt", "shared"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_and_name_their_release(path: Path) -> None:
    used = re.findall(r"uses: (\S+)(.*)", path.read_text(encoding="utf-8"))
    for action, comment in used:
        if not action.startswith("./"):
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_and_nothing_else_unless_a_job_says_why(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.search(r"^permissions:\n  contents: read\n(?! )", text, re.MULTILINE)
    assert set(re.findall(r"(\S+): write.*", text)) <= {"id-token"}
    assert "secrets." not in text
    assert "pull_request_target" not in text
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")


def test_what_funcignore_leaves_is_what_runs() -> None:
    spec = pathspec.GitIgnoreSpec.from_lines((ROOT / ".funcignore").read_text(encoding="utf-8").splitlines())
    listed = subprocess.run(
        ["git", "ls-files"],  # noqa: S607  # the tests run in a checkout
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    files = listed.stdout.splitlines()
    if listed.returncode or not files:
        pytest.skip("not a git checkout: the list of files is git's")
    left = {name.split("/", maxsplit=1)[0] for name in files if not spec.match_file(name)}
    assert left - {".funcignore"} == DEPLOYED


@pytest.fixture
def azure(tmp_path: Path) -> Path:
    """A folder for PATH whose `az` and `curl` answer what the files beside them say."""
    for name, script in {
        "az": 'case "$*" in *"function list"*) cat "$HERE/functions";; *) echo app.azurewebsites.net;; esac',
        "curl": 'cat "$HERE/health"; exit $(cat "$HERE/code")',
    }.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "functions").write_text(
        "".join(f"app/{name}\n" for name in ("webhook", "assets", "health", "orders", "reconcile")), encoding="utf-8"
    )
    (tmp_path / "health").write_text('{"status": "ok"}', encoding="utf-8")
    (tmp_path / "code").write_text("0", encoding="utf-8")
    return tmp_path


def smoke(folder: Path) -> subprocess.CompletedProcess[str]:
    env = {"PATH": f"{folder}:{os.environ['PATH']}", "HERE": str(folder), "ATTEMPTS": "1", "PAUSE": "0"}
    return subprocess.run(  # noqa: S603  # our own script
        [ROOT / "infra" / "smoke.sh", "group", "app"], env=env, capture_output=True, text=True, check=False
    )


def test_the_smoke_test_is_content_with_all_functions_and_a_healthy_app(azure: Path) -> None:
    done = smoke(azure)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout.partition(": ")[2]) == {"status": "ok"}


def test_the_smoke_test_fails_when_a_function_is_missing(azure: Path) -> None:
    (azure / "functions").write_text("app/webhook\n", encoding="utf-8")
    done = smoke(azure)
    assert done.returncode == 1
    assert "has 'webhook'" in done.stderr


def test_the_smoke_test_fails_when_the_app_is_misconfigured(azure: Path) -> None:
    (azure / "health").write_text('{"status": "misconfigured"}', encoding="utf-8")
    (azure / "code").write_text("22", encoding="utf-8")
    done = smoke(azure)
    assert done.returncode == 1
    assert "misconfigured" in done.stderr


def test_the_smoke_test_knows_the_apps_functions() -> None:
    named = {
        match
        for path in (ROOT / "functions").glob("*.py")
        for match in re.findall(r'function_name\("(\w+)"\)', path.read_text(encoding="utf-8"))
    }
    wanted = re.search(r'wanted="([^"]+)"', (ROOT / "infra" / "smoke.sh").read_text(encoding="utf-8"))
    assert wanted is not None
    assert set(wanted[1].split()) == named
