from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.reconcile.world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Forty assets on which both sides agree."""
    world = World(tmp_path / "reports")
    await world.agree(40)
    yield world
    await world.aclose()
