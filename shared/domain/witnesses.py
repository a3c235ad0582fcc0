"""The changes of one side that were seen last: what proves that the side went on from a backup.

A restore that takes back anything that was seen takes back the newest change that was seen. So the newest ones are kept
for each entity and side, and their rows or records are read along: one that shows an older state by now proves a
restore, and whatever was changed after all of them was changed after the restore. The version of a changed row proves
nothing: it is the number that SQL Server's `rowversion` counter, one for the whole database, had at the row's last
change (learn.microsoft.com, *rowversion (Transact-SQL)*), and the counter goes on from the backup.
"""

from collections.abc import Iterable
from datetime import datetime
from operator import attrgetter
from typing import Final, NamedTuple, Self

from pydantic import BaseModel, ConfigDict

from shared.domain.link import Link
from shared.domain.model import Change, CmmsRecord, DynamicsRecord, Side, is_before

KEPT: Final = 8
"""Several, because after a restore people may delete or edit a witness; few, because they are read with every batch."""


class Witness(NamedTuple):
    """A change that was seen: of which row or record, when, in UTC, and its number."""

    id: str
    at: datetime
    number: int | None = None

    def is_taken_back(self, shown: object) -> bool:
        """Whether this row or record shows an older state; what is gone, or cannot be read, tells nothing."""
        match shown:
            case DynamicsRecord(exists=True):
                return Change(self.number, self.at).is_undone(shown.last_change)
            case CmmsRecord(living=True):
                # A record that was deleted and made again counts anew.
                return is_before(shown.changed_at, self.at)
        return False

    @classmethod
    def of(cls, side: Side, before: Link, after: Link) -> Self | None:
        """The change that a link has seen since: None for none, and for what it sees for the first time.

        What was new then is gone after a restore, and tells nothing.
        """
        old, new = before.seen, after.seen
        name, at, number, is_news = {
            "dynamics": (after.row_id, new.row_modified, new.row_version, is_before(old.row_version, new.row_version)),
            "cmms": (after.cmms_id, new.cmms_version, None, is_before(old.cmms_version, new.cmms_version)),
        }[side]
        return cls(name, at, number) if name and at and is_news else None


class Witnesses(BaseModel):
    """The newest changes that were seen of one entity on one side, the newest last.

    `since` is set once it is proven that they were taken back: no change of after it follows what was seen. `word` is
    the operator's word on a restore after which they were seen.
    """

    model_config = ConfigDict(frozen=True)

    newest: tuple[Witness, ...] = ()
    since: datetime | None = None
    word: str = ""

    @property
    def ids(self) -> tuple[str, ...]:
        """What to read along; nothing once a restore is proven."""
        return tuple(one.id for one in self.newest) if self.since is None else ()

    @property
    def latest(self) -> datetime | None:
        """When the newest of them was made, in UTC; None without any."""
        return max((one.at for one in self.newest), default=None)

    def after(self, seen: Iterable[Witness]) -> Self:
        """The same once these changes were seen too; a proof keeps what it rests on."""
        known = {one.id: one for one in sorted((*self.newest, *seen), key=attrgetter("at"))}
        newest = tuple(sorted(known.values(), key=attrgetter("at"))[-KEPT:])
        return self if self.since is not None else self.model_copy(update={"newest": newest})

    @property
    def proven(self) -> Self:
        """The same as proof of a restore."""
        return self.model_copy(update={"since": self.latest})
