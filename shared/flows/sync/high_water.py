"""The tables' high-water marks, shared by all hosts through the ledger's small texts."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from shared.domain.high_water import UNSEEN, HighWater
from shared.flows.ports.engine import State

_FRESH: Final = timedelta(minutes=1)
"""How long a mark is used before it is read again, and how long a higher one may be stored late."""


class HighWaterMarks:
    """Those of each entity. What the last minute showed may be lost with a host: then they are a little lower."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._marks: dict[str, HighWater] = {}
        self._read: dict[str, datetime] = {}
        self._stored: dict[str, datetime] = {}

    async def of(self, entity: str, now: datetime) -> HighWater:
        """The highest marks that are known at `now` (UTC).

        Raises:
            TransientError: The ledger could not be read.
        """
        if _is_due(self._read.get(entity), now):
            texts = await self._state.get_state([_name(entity), _word(entity)])
            self._read[entity] = now
            stored = _parsed(texts.get(_name(entity), "{}"))
            highest = max(stored, self._marks.get(entity, stored), key=lambda one: one.version)
            self._marks[entity] = highest.since(_instant(texts.get(_word(entity))))
        return self._marks[entity]

    async def forget(self, entity: str, now: datetime) -> None:
        """Let no mark of before `now` (UTC) count, on any host within a minute: an operator knows of a restore.

        Raises:
            TransientError: The ledger could not be written.
        """
        await self._state.put_state({_word(entity): now.isoformat()})

    async def note(self, entity: str, versions: Iterable[int | None], now: datetime) -> None:
        """Note the versions of rows that were read before `now` (UTC).

        Raises:
            TransientError: The ledger could not be read or written.
        """
        known = await self.of(entity, now)
        highest = max((version for version in versions if version is not None), default=0)
        if highest <= known.version:
            return
        self._marks[entity] = known.raised(highest, now)
        if _is_due(self._stored.get(entity), now):
            self._stored[entity] = now
            await self._state.put_state({_name(entity): self._marks[entity].model_dump_json()})


def _is_due(last: datetime | None, now: datetime) -> bool:
    return last is None or now - last >= _FRESH


def _name(entity: str) -> str:
    return f"sync/high_water/{entity}"


def _word(entity: str) -> str:
    return f"sync/restored/{entity}"


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text is not None else None


def _parsed(text: str) -> HighWater:
    """What cannot be read counts as nothing: the next marks are stored in its place."""
    try:
        return HighWater.model_validate_json(text)
    except ValidationError:
        return UNSEEN
