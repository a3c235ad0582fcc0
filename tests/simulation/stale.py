"""List reads that lag: now and then a side shows what a worker read of it some seconds ago."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping
from random import Random
from typing import Any

from shared.domain.schema.mapping import EntityMapping
from tests.simulation.weather import Weather

LONGEST = 20.0
"""Seconds by which a read may lag."""


class Past:
    """What was read of one side, by anybody. `shown` hears of each older state that is shown."""

    def __init__(self, weather: Weather, rng: Random, shown: Callable[[str, str], None]) -> None:
        self._weather = weather
        self._rng = rng
        self._shown = shown
        self._states: dict[tuple[str, str, str, str], deque[tuple[float, Any]]] = defaultdict(deque)

    def lagging[T](
        self, entity: EntityMapping, by: str, asked: Collection[str], found: Mapping[str, T]
    ) -> dict[str, T]:
        """The answer, with older states in it."""
        now = asyncio.get_running_loop().time()
        answer = dict(found)
        for name in sorted(asked):
            # What was read by another mapping holds other columns.
            states = self._states[entity.name, entity.fingerprint, by, name]
            while states and states[0][0] < now - LONGEST:
                states.popleft()
            late = [state for _, state in states if state != found.get(name)]
            old = [state for state in late if not _silently_changed(state, found.get(name))]
            states.append((now, found.get(name)))
            if not old or self._rng.random() >= self._weather.stale:
                continue
            answer.pop(name, None)
            if (state := self._rng.choice(old)) is not None:
                answer[name] = state
            self._shown(entity.name, name)
        return answer


def _silently_changed(old: Any, new: Any) -> bool:
    """Whether the CMMS gave both the same version: nothing could tell which of them is the older one."""
    version = getattr(old, "version", None)
    return version is not None and version == getattr(new, "version", None)


class Lagging:
    """A side whose list reads lag; everything else goes to the real part."""

    def __init__(self, real: Any, past: Past) -> None:
        self._real = real
        self._past = past

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def by_id(self, entity: EntityMapping, ids: Collection[str]) -> Mapping[str, Any]:
        """As the port says, but late."""
        return self._past.lagging(entity, "id", ids, await self._real.by_id(entity, ids))
