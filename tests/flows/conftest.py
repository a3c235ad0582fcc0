"""The engine between both systems in memory."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.kit.world import World


@pytest.fixture
def world() -> Iterator[World]:
    with closing(World()) as world:
        yield world


@pytest.fixture
def one_way() -> Iterator[World]:
    with closing(World(one_way=True)) as world:
        yield world
