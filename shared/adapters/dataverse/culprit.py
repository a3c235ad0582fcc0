"""Which field of a refused row is at fault, where the refusal names none: the row is written in halves.

A half that is taken has arrived, so that in the end everything is in the row but one field, and the refusal names it.
Each write is conditional on the etag that the one before it left. A half carries a stamp of its own: a row that shows
an operation holds all of its values, and after a half it would not.

Some refusals are the whole row's (a plug-in that lets nobody edit it): then every half is refused, and no field named.
"""

from collections.abc import Awaitable, Callable, Generator, Sequence
from copy import replace
from dataclasses import dataclass
from typing import Final

from shared.adapters.dataverse.refusals import of_field
from shared.adapters.dataverse.writes import DynamicsWrite
from shared.domain.model import DynamicsRecord
from shared.domain.schema.mapping import EntityMapping
from shared.errors import RejectedByTarget, SyncError
from shared.flows.ports.engine import Failed

type Result = DynamicsRecord | Failed
type Perform = Callable[[Sequence[DynamicsWrite]], Awaitable[Sequence[Result]]]

_KEY: Final = ":key"
_STATE: Final = ":state"
_RULE: Final = "0x80040333"
"""A duplicate detection rule compares many columns at once: no single one is at fault."""


async def find_culprits(
    entity: EntityMapping, writes: Sequence[DynamicsWrite], results: list[Result], perform: Perform
) -> list[Result]:
    """Search every row that was refused without a field, all of them in the same requests.

    Args:
        entity: What is written.
        writes: What was to be written.
        results: What became of it, in the same order.
        perform: Writes rows, each for itself. Where the time is over, it fails them.

    Returns:
        The results; a row that was searched is `Failed` with the field named and the row as it is now, or a row after
        all. At most 2 * log2(fields) + 2 requests are sent.
    """
    searches = {
        number: Search(entity, writes[number], result)
        for number, result in enumerate(results)
        if isinstance(result, Failed) and _is_unnamed(result.error)
    }
    while searches:
        asking = {number: search.asks for number, search in searches.items() if search.asks is not None}
        answers = await perform(list(asking.values())) if asking else ()
        for number, answer in zip(asking, answers, strict=True):
            searches[number].take(answer)
        for number in [number for number, search in searches.items() if search.asks is None]:
            results[number] = searches.pop(number).found
    return results


def _is_unnamed(error: SyncError) -> bool:
    return type(error) is RejectedByTarget and error.field is None and error.code != _RULE


class Search:
    """The search in one row: `asks` is the next write to do, None when `found` holds the result."""

    def __init__(self, entity: EntityMapping, write: DynamicsWrite, refused: Failed) -> None:
        self.asks: DynamicsWrite | None = None
        self.found: Result = refused
        self._entity = entity
        self._write = write
        self._row: DynamicsRecord | None = None
        self._creating = write.id is None
        # What only a create can set has to be in the write that creates the row; so has what the table requires.
        self._fixed = [name for name in write.values if self._creating and entity.fields[name].create_only]
        self._steps = self._search(refused.error)
        self._go_on(None)

    def take(self, answer: Result) -> None:
        """Go on with what became of the write that was asked for."""
        self._go_on(answer)

    def _go_on(self, answer: Result | None) -> None:
        try:
            self.asks = next(self._steps) if answer is None else self._steps.send(answer)
        except StopIteration as end:
            self.asks, self.found = None, end.value

    def _search(self, refused: SyncError) -> Generator[DynamicsWrite, Result, Result]:
        suspects = [name for name in self._write.values if name not in self._fixed]
        suspects += [_KEY] * self._write.writes_key + [_STATE] * (self._write.state is not None)
        if len(suspects) == 1 and not self._creating:
            return self._blamed(suspects[0], refused)
        end = yield from self._halve(suspects, refused)
        if end.result is not None:
            return end.result
        if self._row is None and self._creating:
            return (yield from self._without(end.suspects, refused))
        if self._row is None or not end.suspects:
            # Where no write was taken at all, nothing says that it is the field and not the row.
            return Failed(refused, row=self._row)
        return self._blamed(end.suspects[0], end.alone or refused)

    def _halve(self, suspects: list[str], refused: SyncError) -> Generator[DynamicsWrite, Result, "_End"]:
        """Write one half of the suspects and then the other, until one is left that was refused by itself."""
        # How the suspects were refused when nothing else was written beside them; None where that is not known.
        alone: SyncError | None = refused
        while len(suspects) > 1:
            half, other = suspects[: len(suspects) // 2], suspects[len(suspects) // 2 :]
            first = yield from self._try(half)
            if first.taken:
                suspects, alone = other, None
                continue
            second = first if first.ends else (yield from self._try(other))
            if second.ends:
                return _End(result=self._ended(second.result))
            suspects, alone = [name for name in half if name not in self._fixed], first.error
        if alone is None:
            last = yield from self._try(suspects)
            if last.error is None or last.ends:
                return _End(result=self._ended(last.result))
            alone = last.error
        return _End(suspects, alone)

    def _without(self, suspects: Sequence[str], refused: SyncError) -> Generator[DynamicsWrite, Result, Result]:
        """Create the row without the suspects, then without what every create so far held: one of them is at fault."""
        bare = yield from self._try([])
        if bare.ends:
            return self._ended(bare.result)
        if bare.taken and suspects:
            return self._blamed(suspects[0], refused)
        if not self._fixed:
            return Failed(refused)
        fixed, self._fixed = self._fixed, []
        bare = yield from self._try([])
        # Without a required field there is no row: then its value is what was refused.
        needed = [name for name in fixed if name in self._fixed]
        if bare.taken or needed:
            return self._blamed((needed or fixed)[0], refused)
        return self._ended(bare.result) if bare.ends else Failed(refused)

    def _try(self, units: list[str]) -> Generator[DynamicsWrite, Result, "_Try"]:
        while True:
            result = yield self._part(units)
            if isinstance(result, DynamicsRecord):
                self._row = result
                return _Try(result, taken=True)
            lacking = result.error.field
            if self._row is not None or lacking not in self._write.values or lacking in (*units, *self._fixed):
                # A refusal that names its field ends the search, and so does everything that is no refusal.
                return _Try(result, error=result.error, ends=not _is_unnamed(result.error))
            # No row can be created without this field.
            self._fixed.append(str(lacking))

    def _part(self, units: list[str]) -> DynamicsWrite:
        held = set(units) if self._row is not None else {*units, *self._fixed}
        part = replace(
            self._write,
            values={name: value for name, value in self._write.values.items() if name in held},
            state=self._write.state if _STATE in held else None,
            writes_key=_KEY in held,
            operation=self._write.part,
        )
        return part if self._row is None else replace(part, id=self._row.id, etag=self._row.etag, new_id=None)

    def _blamed(self, unit: str, error: SyncError) -> Failed:
        name = {_KEY: self._entity.key.name, _STATE: None}.get(unit, unit)
        return Failed(of_field(name, error), row=self._row)

    def _ended(self, result: Result) -> Result:
        return replace(result, row=self._row) if isinstance(result, Failed) else result


@dataclass(frozen=True)
class _End:
    """Where halving came to: the last suspects with their refusal, or a result that ends the search."""

    suspects: Sequence[str] = ()
    alone: SyncError | None = None
    result: Result | None = None


@dataclass(frozen=True)
class _Try:
    """What became of one write: taken, refused with an error, or something that ends the search."""

    result: Result
    taken: bool = False
    error: SyncError | None = None
    ends: bool = False
