"""Virtual time unless a module is marked `real_time`, because it uses sockets or threads."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest

from tests.adapters.virtual import LoopClock, VirtualLoop
from tests.adapters.worlds import World


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real_time: uses sockets or threads, so that time cannot be skipped")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("real_time"):
        return {"real": asyncio.new_event_loop}
    return {"virtual": VirtualLoop}


@pytest.fixture
def clock() -> LoopClock:
    return LoopClock()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.aclose()


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Loopback is loopback, whatever proxy this machine uses for the world."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
