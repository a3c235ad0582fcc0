"""Every compiler call takes seconds: each parameter set is evaluated once in a test run."""

from pathlib import Path

import pytest

from tests.infra import bicep
from tests.infra.bicep import Resource


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this run know; each of several has its own below it."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if base.name.startswith("popen-") else base


@pytest.fixture(scope="session")
def small(shared_folder: Path) -> list[Resource]:
    return bicep.evaluated(shared_folder, bicep.SMALL)


@pytest.fixture(scope="session")
def full(shared_folder: Path) -> list[Resource]:
    return bicep.evaluated(shared_folder, bicep.FULL)


@pytest.fixture(scope="session")
def private(shared_folder: Path) -> list[Resource]:
    return bicep.evaluated(shared_folder, bicep.PRIVATE)


@pytest.fixture(scope="session")
def given(shared_folder: Path) -> list[Resource]:
    return bicep.evaluated(shared_folder, bicep.GIVEN)


@pytest.fixture(scope="session")
def trial(shared_folder: Path) -> list[Resource]:
    return bicep.evaluated(shared_folder, bicep.TRIAL)


@pytest.fixture(params=["small", "full", "private", "given"])
def resources(request: pytest.FixtureRequest) -> list[Resource]:
    found: list[Resource] = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def runbook() -> str:
    return (Path(bicep.ROOT) / "docs" / "runbook.md").read_text(encoding="utf-8")
