"""A table's high-water marks: what proves that Dynamics went on from a backup.

A row's version is the number that SQL Server's `rowversion` counter had at the row's last change; the counter is one
for the whole database (learn.microsoft.com, *rowversion (Transact-SQL)*), and a restored database counts on from its
backup. So a row that was changed after a higher number had been seen, and has a lower one, was changed after a restore,
even where its number is above all that its own link remembers.
"""

from datetime import datetime, timedelta
from typing import Final, NamedTuple, Self

from pydantic import BaseModel, ConfigDict

SLACK: Final = timedelta(minutes=3)
"""How far instants may contradict versions: a transaction takes up to two minutes, and clocks differ by one."""
_APART: Final = timedelta(minutes=5)
_MOST: Final = 48
"""Marks of four hours: an edit may be looked at when the counter is above all that it was before the restore."""


class Mark(NamedTuple):
    """The highest row version that was seen in a table, and an instant, in UTC, shortly after it was first seen."""

    version: int
    at: datetime


class HighWater(BaseModel):
    """One table's marks, rising in versions and instants."""

    model_config = ConfigDict(frozen=True)

    marks: tuple[Mark, ...] = ()

    @property
    def version(self) -> int:
        """The highest version; 0 where none was seen."""
        return self.marks[-1].version if self.marks else 0

    def raised(self, version: int, at: datetime) -> Self:
        """The marks with a higher one. It takes the place of the last one where that is just as new."""
        kept = self.marks[:-1] if len(self.marks) > 1 and at - self.marks[-2].at < _APART else self.marks
        return self.model_copy(update={"marks": (*kept, Mark(version, at))[-_MOST:]})

    def since(self, word: datetime | None) -> Self:
        """The marks of after an operator's word that the table was restored: to what is older, nothing goes back."""
        kept = tuple(mark for mark in self.marks if word is None or mark.at > word)
        return self if len(kept) == len(self.marks) else self.model_copy(update={"marks": kept})

    def is_above(self, version: int | None, modified: datetime | None) -> bool:
        """Whether a change proves a restore: it came later, and has a lower version. False where either is unknown."""
        if version is None or modified is None:
            return False
        return any(version < mark.version and modified > mark.at + SLACK for mark in self.marks)


UNSEEN: Final = HighWater()
"""Of a table of which no row has been seen."""
