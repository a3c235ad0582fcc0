"""Work that goes on after the request that started it."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks[T]:
    """Tasks that are kept until they end."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[T]] = set()

    def __len__(self) -> int:
        """How many have not ended."""
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` in a task."""
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def drain(self) -> None:
        """Wait until all have ended, also those that they start."""
        while self._running:
            await asyncio.wait(set(self._running))

    async def cancel(self) -> None:
        """Give up those that have not ended."""
        for task in tuple(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
