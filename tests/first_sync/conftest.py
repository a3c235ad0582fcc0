from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.first_sync.world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two systems, empty yet."""
    world = World(tmp_path / "reports")
    yield world
    await world.aclose()
