"""One run's folder and environment: nothing of another run, nothing of a real installation."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import local.run
from local.ports import Ports
from local.processes import StackError
from local.run import OwnCmms, Run


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(local.run, "RUNS", tmp_path)
    return tmp_path


def a_run(ports: Ports | None = None, *, keep: bool = False, own_cmms: OwnCmms | None = None) -> Run:
    return Run(ports or Ports(), one_way=False, settle_seconds=0, settings={}, keep=keep, own_cmms=own_cmms)


def end(run: Run) -> None:
    """Let the run's process have ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    (run.folder / "pid").write_text(str(ended.pid))


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


def test_a_kept_run_goes_on_with_addresses_keys_and_folder_of_the_one_before(runs: Path) -> None:
    first = a_run(Ports.free(), keep=True)
    end(first)
    for _ in range(8):
        end(a_run())
    second = a_run(Ports.free(hosts=3), keep=True)

    assert (second.folder, second.keys, second.organization_id) == (first.folder, first.keys, first.organization_id)
    assert second.dataverse_url == first.dataverse_url
    assert len(second.ports.more_hosts) == 2
    assert (second.folder / "run.json").stat().st_mode & 0o077 == 0


def test_two_stacks_cannot_work_on_the_kept_state(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local.run, "ROOT", runs.parent)
    a_run(keep=True)
    with pytest.raises(StackError, match="Stop it first"):
        a_run(keep=True)


def test_a_cmms_of_ones_own_takes_the_demos_place(runs: Path) -> None:
    run = a_run(own_cmms=OwnCmms("http://127.0.0.1:9000", "its-token"))

    told = run.functions_environment()
    assert (told["CMMS_BASE_URL"], told["CMMS_TOKEN"]) == ("http://127.0.0.1:9000", "its-token")
    assert "its-token" not in repr(run.own_cmms)
