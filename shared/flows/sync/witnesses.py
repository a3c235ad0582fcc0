"""The witnesses of both sides, shared by all hosts through the ledger's small texts."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from itertools import starmap
from typing import Final
from uuid import UUID, uuid4

from pydantic import TypeAdapter, ValidationError

from shared.domain.link import Link
from shared.domain.model import SIDES, Side
from shared.domain.witnesses import Witness, Witnesses
from shared.flows.ports.engine import State

_CONFIRMED: Final = timedelta(minutes=1)
"""How long a witness shows an older state before that proves a restore: until then a list read may only lag."""

type OfBoth = Mapping[Side, Witnesses]
_TEXT: Final = TypeAdapter(dict[Side, Witnesses])
_WORDS: Final = TypeAdapter(dict[Side, str])


class Watch:
    """What was seen last of each entity, and whether it was taken back."""

    def __init__(self, state: State, ids: Callable[[], UUID] = uuid4) -> None:
        """`ids` names an operator's words."""
        self._state = state
        self._ids = ids
        self._doubted: dict[tuple[str, Side], dict[Witness, datetime]] = {}
        # The parts of a batch are written beside each other: none may store over what another one has noted.
        self._noting = asyncio.Lock()

    async def of(self, entity: str) -> OfBoth:
        """The witnesses of both sides. What cannot be read, or is of before an operator's last word, counts as nothing.

        Raises:
            TransientError: The ledger could not be read.
        """
        return (await self._read(entity))[1]

    async def judge(
        self, entity: str, known: OfBoth, shown: Mapping[Side, Mapping[str, object]], now: datetime
    ) -> dict[Side, datetime]:
        """Since when what the sides show does not follow what was seen of them.

        Args:
            entity: Whose witnesses these are.
            known: The witnesses, read before the sides.
            shown: The rows and records that were read, by id.
            now: In UTC.

        Returns:
            For each side that went on from a backup, or seems to, when the newest change was made that it took back.

        Raises:
            TransientError: The ledger could not be written.
        """
        proven: dict[Side, Witnesses] = {}
        since: dict[Side, datetime] = {}
        for side, witnesses in known.items():
            doubted = self._doubt((entity, side), witnesses, shown[side], now)
            suspected = witnesses.proven if doubted else witnesses
            if suspected.since is not None:
                since[side] = suspected.since
            # A doubt is confirmed by another look: until then its own may have lagged, however long ago that was.
            if shown[side] and now - min(doubted.values(), default=now) >= _CONFIRMED:
                proven[side] = suspected
        if any(proven[side] != known[side] for side in proven):
            # Where another host has stored something of the side in between, another look proves it again.
            await self._change(entity, lambda side, one: proven.get(side, one) if one == known[side] else one)
        return since

    def _doubt(
        self, whose: tuple[str, Side], witnesses: Witnesses, shown: Mapping[str, object], now: datetime
    ) -> Mapping[Witness, datetime]:
        """The witnesses that are taken back, and since when they seem to be. What was not asked tells nothing."""
        before = self._doubted.get(whose, {})
        if shown:
            self._doubted[whose] = {
                one: before.get(one, now) for one in witnesses.newest if one.is_taken_back(shown.get(one.id))
            }
        return self._doubted.get(whose, {})

    async def note(self, entity: str, seen: Iterable[tuple[Link, Link]]) -> None:
        """Note what links are about to remember as seen, before the ledger stores them.

        Args:
            entity: The links' entity.
            seen: Each link before and after.

        Raises:
            TransientError: The ledger could not be read or written.
        """
        pairs = list(seen)
        # What is seen while a restore is in question must not take the place of what proves it.
        news = {
            side: [*filter(None, starmap(partial(Witness.of, side), pairs))]
            for side in SIDES
            if not self._doubted.get((entity, side))
        }
        if not any(news.values()):
            return
        async with self._noting:
            while not await self._change(entity, lambda side, one: one.after(news.get(side, ()))):
                pass  # another host was faster

    async def forget(self, entity: str, side: Side) -> None:
        """Let nothing count that was seen of a side until now: an operator knows of a restore.

        Raises:
            TransientError: The ledger could not be read or written.
        """
        words = {of: one.word for of, one in (await self.of(entity)).items()}
        words[side] = str(self._ids())
        await self._state.put_state({_word(entity): _WORDS.dump_json(words).decode()})

    async def _change(self, entity: str, change: Callable[[Side, Witnesses], Witnesses]) -> bool:
        """Store what the witnesses of either side become; whether that is stored, as no other host was faster."""
        text, known = await self._read(entity)
        after = {side: change(side, one) for side, one in known.items()}
        return after == known or await self._state.swap_state(_name(entity), text, _TEXT.dump_json(after).decode())

    async def _read(self, entity: str) -> tuple[str | None, OfBoth]:
        """The stored text, and what it says of both sides."""
        texts = await self._state.get_state([_name(entity), _word(entity)])
        text = texts.get(_name(entity))
        found, words = _parsed(_TEXT, text or "{}"), _parsed(_WORDS, texts.get(_word(entity), "{}"))
        blank: dict[Side, Witnesses] = {side: Witnesses(word=words.get(side, "")) for side in SIDES}
        return text, blank | {side: one for side, one in found.items() if one.word == blank[side].word}


def _name(entity: str) -> str:
    return f"sync/witnesses/{entity}"


def _word(entity: str) -> str:
    return f"sync/restored/{entity}"


def _parsed[V](form: TypeAdapter[dict[Side, V]], text: str) -> dict[Side, V]:
    try:
        return form.validate_json(text)
    except ValidationError:
        return {}
