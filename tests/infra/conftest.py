"""Every compiler call takes seconds: each parameter set is evaluated once."""

from pathlib import Path

import pytest

from tests.infra import bicep
from tests.infra.bicep import Resource


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[Resource]:
    return bicep.snapshot(bicep.copy(tmp_path_factory.mktemp("small")), bicep.SMALL)


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> list[Resource]:
    return bicep.snapshot(bicep.copy(tmp_path_factory.mktemp("full")), bicep.FULL)


@pytest.fixture(params=["small", "full"])
def resources(request: pytest.FixtureRequest) -> list[Resource]:
    found: list[Resource] = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def runbook() -> str:
    return (Path(bicep.ROOT) / "docs" / "runbook.md").read_text(encoding="utf-8")
