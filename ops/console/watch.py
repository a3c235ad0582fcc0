"""One look at the installation for all open pages: repeated while somebody watches, and at once after an act."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

from ops.activity import Processed
from ops.console.desk import Desk
from shared.errors import SyncError
from shared.flows.operate.overview import Overview

EVERY: Final = 2.0
"""Seconds between two looks, at least: looking takes at most a fifth of the time."""
AT_LEAST_EVERY: Final = 15.0
STALE: Final = 10.0
"""Seconds for which a page may show an old look."""


class Watch:
    """Keeps the newest overview and the last hour's messages. `version` grows when either changed."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._view: Overview | None = None
        self._processed: list[Processed] | None = None
        self._problem = ""
        self._taken = 0.0
        self._cost = 0.0
        self._looking = asyncio.Lock()
        self.version = 0

    async def now(self, *, fresh: bool = False) -> tuple[Overview, list[Processed] | None, str]:
        """The newest overview, the messages of the last hour, and why these cannot be read, if so.

        Args:
            fresh: Look again also where the last look was a moment ago.

        Returns:
            What the last look saw, which may be some seconds old: an open page asks again by itself.
        """
        asked = time.monotonic()
        async with self._looking:
            # Somebody else may have looked while we waited.
            newest = self._taken > asked if fresh else time.monotonic() - self._taken < STALE
            if self._view is None or not newest:
                await self._look()
        if self._view is None:
            raise AssertionError("a look always leaves a view")
        return self._view, self._processed, self._problem

    async def _look(self) -> None:
        started = time.monotonic()
        view = await self._desk.overview()
        processed, problem = self._processed, ""
        try:
            processed = await self._desk.activity()
        except SyncError as error:
            problem = error.message
        if self._view is None or (processed, problem, _shown(view)) != (
            self._processed, self._problem, _shown(self._view),
        ):  # fmt: skip
            self.version += 1
        self._view, self._processed, self._problem = view, processed, problem
        self._taken = time.monotonic()
        self._cost = self._taken - started

    async def changes(self) -> AsyncIterator[int]:
        """The version, each time that it grew, and every 15 seconds, because ages grow by themselves."""
        told, when = -1, 0.0
        while True:
            if time.monotonic() - self._taken >= EVERY:
                await self.now(fresh=True)
            if self.version != told or time.monotonic() - when > AT_LEAST_EVERY:
                told, when = self.version, time.monotonic()
                yield told
            await asyncio.sleep(max(EVERY, 4 * self._cost))


def _shown(view: Overview) -> tuple[object, ...]:
    """What of an overview a page shows, but for the time."""
    return (view.health, view.queues, view.parked, view.brake, view.runs, view.pending, view.concerns, view.first_sync)
