import importlib.util
import json
import os
import re
import zipfile
from pathlib import Path
from types import ModuleType

import pathspec
import pytest

from tests.infra.bicep import ROOT
from tests.infra.cloud import Cloud

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def _script(name: str) -> ModuleType:
    """A Python script of infra/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "infra" / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


package = _script("package")
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


STRAY = (
    ".env",
    "app.json",
    "discarded.jsonl",
    "drift.html",
    "local.settings.json",
    "node_modules/x/index.js",
    "functions/notes.txt",
    "functions/.env",
    "functions/__pycache__/assets.cpython-313.pyc",
    "shared/.DS_Store",
    "shared/domain/records.csv",
    "shared/domain/__pycache__/merge.cpython-313.pyc",
    "shared/mappings/export.xlsx",
    "requirements-dev.txt",
    "ops/settings.py",
    "docs/deploy.md",
)
BELONGS = ("functions/assets.py", "shared/__init__.py", "shared/flows/a/b.py", "shared/mappings/mine.toml")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what belongs in the package, and what people leave lying about."""
    for name in (*package.FILES, *BELONGS, *STRAY):
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    return tmp_path / "checkout"


def test_the_package_holds_what_runs_and_nothing_else(checkout: Path, tmp_path: Path) -> None:
    archive = tmp_path / "package.zip"
    archive.write_bytes(b"an older package")
    package.write(checkout, archive)
    assert sorted(zipfile.ZipFile(archive).namelist()) == sorted((*package.FILES, *BELONGS))


def test_a_deleted_module_is_not_in_the_next_package(checkout: Path, tmp_path: Path) -> None:
    archive = tmp_path / "package.zip"
    package.write(checkout, archive)
    (checkout / "functions" / "assets.py").unlink()
    package.write(checkout, archive)
    assert "functions/assets.py" not in zipfile.ZipFile(archive).namelist()


def test_the_same_sources_make_the_same_package(checkout: Path, tmp_path: Path) -> None:
    for name in ("one.zip", "two.zip"):
        package.write(checkout, tmp_path / name)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_a_package_without_its_parts_is_not_made(checkout: Path, tmp_path: Path) -> None:
    (checkout / "host.json").unlink()
    with pytest.raises(FileNotFoundError):
        package.write(checkout, tmp_path / "package.zip")


@pytest.mark.parametrize("root", ["checkout", "repository"])
def test_azd_takes_along_what_the_package_holds(root: str, checkout: Path) -> None:
    spec = pathspec.GitIgnoreSpec.from_lines((ROOT / ".funcignore").read_text(encoding="utf-8").splitlines())
    where = checkout if root == "checkout" else ROOT
    below = [where / name for name in (*package.FOLDERS, "ops", "docs", "node_modules")]
    paths = [*where.glob("*"), *(path for folder in below for path in folder.rglob("*"))]
    names = [path.relative_to(where).as_posix() for path in paths if path.is_file()]
    assert sorted(name for name in names if not spec.match_file(name)) == package.contents(where)


def test_the_package_of_this_repository_is_an_app() -> None:
    names = package.contents(ROOT)
    assert {name.split("/", maxsplit=1)[0] for name in names} == DEPLOYED
    assert "shared/mappings/document.toml" in names
    assert "shared/flows/reconcile/report.html" in names


def test_azd_runs_hooks_that_are_there() -> None:
    text = (ROOT / "azure.yaml").read_text(encoding="utf-8")
    hooks = dict(re.findall(r"^  (\w+):\n    shell: sh\n    run: \./(\S+)", text, re.MULTILINE))
    assert hooks.keys() == {"preprovision", "postprovision", "postdeploy"}
    for path in hooks.values():
        assert os.access(ROOT / path, os.X_OK)


def test_production_waits_for_the_tests_and_for_the_test_environment() -> None:
    text = (ROOT / ".github" / "workflows" / "deploy.yml").read_text(encoding="utf-8")
    jobs = dict(re.findall(r"^  (deploy-\w+):\n    needs: (\S+)", text, re.MULTILINE))
    assert jobs == {"deploy-test": "test", "deploy-production": "deploy-test"}
    assert re.findall(r"      environment: (\w+)", text) == ["test", "production"]
    called = (ROOT / ".github" / "workflows" / "deploy-to.yml").read_text(encoding="utf-8")
    # The environment is the gate: its reviewers, its identity, its variables.
    assert "    environment: ${{ inputs.environment }}\n" in called
    steps = ["bicepparam", "package.py", "config-zip", "references.sh", "smoke.sh"]
    assert sorted(steps, key=called.index) == steps


HOST = {
    "version": "2.0",
    "functionTimeout": "00:30:00",
    "telemetryMode": "OpenTelemetry",
    "extensionBundle": {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"},
    "extensions": {
        "http": {"routePrefix": "api"},
        "serviceBus": {
            "autoCompleteMessages": True,
            "prefetchCount": 0,
            "maxMessageBatchSize": 1000,
            "minMessageBatchSize": 1,
            "maxBatchWaitTime": "00:00:05",
        },
    },
    "logging": {"logLevel": {"default": "Information", "Azure": "Warning"}},
}


def test_the_host_is_told_what_the_design_counts_on() -> None:
    assert json.loads((ROOT / "host.json").read_text(encoding="utf-8")) == HOST


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    found = Cloud(tmp_path)
    names = ("webhook", "assets", "backup", "health", "orders", "reconcile")
    found.answer("function list", "".join(f"app/{name}\n" for name in names))
    found.answer("properties.defaultHostName", "app.azurewebsites.net\n")
    found.answer("curl", '{"status": "ok"}')
    return found


def test_the_smoke_test_is_content_with_all_functions_and_a_healthy_app(cloud: Cloud) -> None:
    done = cloud.run("smoke.sh", "group", "app")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout.partition(": ")[2]) == {"status": "ok"}


def test_the_smoke_test_fails_when_a_function_is_missing(cloud: Cloud) -> None:
    cloud.answer("function list", "app/webhook\n")
    done = cloud.run("smoke.sh", "group", "app")
    assert done.returncode == 1
    assert "has 'webhook'" in done.stderr


def test_the_smoke_test_fails_when_the_app_is_misconfigured(cloud: Cloud) -> None:
    cloud.answer("curl", '{"status": "misconfigured"}', 22)
    done = cloud.run("smoke.sh", "group", "app")
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
