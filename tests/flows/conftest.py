"""The engine between both systems in memory."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from tests.kit.world import World

type MakeWorld = Callable[..., World]


@pytest.fixture
def make_world() -> Iterator[MakeWorld]:
    """Make a world with parts of the test's own; all of them are closed at its end."""
    with ExitStack() as opened:
        yield lambda **parts: opened.enter_context(closing(World(**parts)))


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    return make_world()


@pytest.fixture
def one_way(make_world: MakeWorld) -> World:
    return make_world(one_way=True)
