"""One run's folder and environment: nothing of another run, nothing of a real installation."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import local.run
from local.ports import Ports
from local.run import Run


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(local.run, "RUNS", tmp_path)
    return tmp_path


def a_run() -> Run:
    return Run(Ports(), one_way=False, settle_seconds=0, settings={})


def test_a_running_stack_keeps_its_folder_however_many_runs_follow(runs: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    first = a_run().folder
    for _ in range(8):
        (a_run().folder / "pid").write_text(str(ended.pid))
    kept = {path for path in runs.iterdir() if path != first}
    assert first.is_dir()
    assert len(kept) == 6


def test_a_real_installations_settings_stay_out_of_the_stack(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "DYNAMICS_365_CLIENT_SECRET",
        "DYNAMICS_365_BASE_URL",
        "ServiceBusConnection__fullyQualifiedNamespace",
    ):
        monkeypatch.setenv(name, "of a real one")
    monkeypatch.setenv("SYNC_MAPPING", "mine.toml")
    run = a_run()
    for told in (run.functions_environment(), run.cmms_environment(), run.operator_settings(), run.environment()):
        assert "of a real one" not in told.values()
    expected = str(Path.cwd() / "mine.toml")
    assert run.functions_environment()["SYNC_MAPPING"] == run.operator_settings()["SYNC_MAPPING"] == expected
    assert run.environment()["PATH"] == os.environ["PATH"]
