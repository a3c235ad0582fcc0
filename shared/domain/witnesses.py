"""The changes of one side that were seen last: what proves that the side went on from a backup.

A restore that takes back anything that was seen takes back the newest change that was seen. So the newest ones are kept
for each entity and side, and their rows or records are read along: one that shows an older state by now proves a
restore, and whatever was changed after all that was ever seen was changed after the restore. The version of a changed
row proves nothing: it is the number that SQL Server's `rowversion` counter, one for the whole database, had at the
row's last change (learn.microsoft.com, *rowversion (Transact-SQL)*), and the counter goes on from the backup.
"""

from collections.abc import Iterable
from datetime import datetime
from operator import attrgetter
from typing import Final, NamedTuple, Self

from pydantic import BaseModel, ConfigDict

from shared.domain.link import Link
from shared.domain.model import Change, CmmsRecord, DynamicsRecord, Side, is_before, is_until

KEPT: Final = 8
"""Several, because after a restore people may delete or edit a witness; few, because they are read with every batch."""


class Witness(NamedTuple):
    """A change that was seen: of which row or record, when, in UTC, and its number.

    `first`: nothing was seen of the row or record before. A restore may take it away altogether, and then it tells
    nothing.
    """

    id: str
    at: datetime
    number: int | None = None
    first: bool = False

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
        """The change that a link has seen since; None for none."""
        old, new = before.seen, after.seen
        # Rows tell the time of a change in whole seconds: only the version tells two of one second apart.
        name, was, now, known = {
            "dynamics": (after.row_id, old.row, new.row, is_until(new.row.number, old.row.number)),
            "cmms": (after.cmms_id, old.record, new.record, is_until(new.record.at, old.record.at)),
        }[side]
        return cls(name, now.at, now.number, was.at is None) if name and now.at and not known else None


class Witnesses(BaseModel):
    """The newest changes that were seen of one entity on one side, the newest last.

    `latest` is when the newest of all changes was made, in UTC, the first ones of their rows or records among them.
    `since` is set to it once it is proven that some were taken back: no change of after it follows what was seen.
    `word` is the operator's word on a restore after which they were seen.
    """

    model_config = ConfigDict(frozen=True)

    newest: tuple[Witness, ...] = ()
    latest: datetime | None = None
    since: datetime | None = None
    word: str = ""

    @property
    def ids(self) -> tuple[str, ...]:
        """What to read along; nothing once a restore is proven."""
        return tuple(one.id for one in self.newest) if self.since is None else ()

    def after(self, seen: Iterable[Witness]) -> Self:
        """The same once these changes were seen too; a proof keeps what it rests on."""
        if self.since is not None:
            return self
        changes = sorted((*self.newest, *seen), key=attrgetter("at"))
        latest = max(filter(None, [self.latest, *map(attrgetter("at"), changes)]), default=None)
        known = {one.id: one for one in changes if not one.first}
        newest = tuple(sorted(known.values(), key=attrgetter("at"))[-KEPT:])
        return self.model_copy(update={"newest": newest, "latest": latest})

    @property
    def proven(self) -> Self:
        """The same as proof of a restore."""
        return self.model_copy(update={"since": self.latest})
