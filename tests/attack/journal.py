"""What people said, and over what: the account by which both sides are judged. Nothing of the engine is in it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from copy import replace
from dataclasses import dataclass, field
from typing import Literal

type Side = Literal["cmms", "dynamics"]
type Held = str | None


@dataclass(frozen=True)
class Said:
    """One value that a person gave, and what its place held on that side right before.

    `place` is the CMMS's field or Dynamics' column. Values are unique in a run, but for None, so that a value tells
    which edit gave it.
    """

    side: Side
    record: str
    place: str
    value: Held
    over: Held
    at: float

    def replaces(self, other: "Said") -> bool:
        """Whether whoever gave this value saw the other one, which then needs no other record."""
        if self is other or self.over != other.value:
            return False
        # None is no value of one edit alone.
        later = self.at > other.at and (self.place, self.side) == (other.place, other.side)
        return other.value is not None or later

    def carried(self, elsewhere: Collection[Held]) -> bool:
        """Whether the other side, which shows these values, was told: it has the value, or lacks what was emptied."""
        return self.value in elsewhere if self.value is not None else self.over not in elsewhere


@dataclass
class Journal:
    """All that was said, by record. `names` tells which record a business key, old or new, belongs to."""

    said: dict[str, list[Said]] = field(default_factory=lambda: defaultdict(list))
    names: dict[str, str] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    """Records that a person deleted in the CMMS."""
    rows_deleted: dict[str, frozenset[Held]] = field(default_factory=dict)
    """What was in the row of a record when a person deleted the row in Dynamics, by record."""

    def name(self, key: str) -> str:
        """The record that has, or had, a business key."""
        return self.names.setdefault(key, key)

    def renamed(self, old: str, new: str) -> None:
        """Take a new key for the same record's."""
        self.names[new] = self.name(old)

    def note(self, said: Said) -> None:
        """Keep what a person said."""
        self.said[said.record].append(said)

    def forget(self, side: Side, since: float, kept: Mapping[str, Iterable[Held]]) -> int:
        """Drop what a side was told since its backup and nobody else holds: it went with the restore.

        `kept` are the values that the other side shows, by record. What its people have replaced was seen there, too.

        Returns:
            How many values went.
        """
        gone = 0
        for record, said in self.said.items():
            seen = {one.over for one in said if one.side != side}
            elsewhere = {*kept.get(record, ()), *seen} - {None}
            left: list[Said] = []
            while more := [
                one
                for one in said
                if one not in left and (one.side != side or one.at < since or one.carried(elsewhere))
            ]:
                # What a value was given over was known to whoever gave it, as that one's own was.
                left += more
                elsewhere |= {one.over for one in more} - {None}
            gone += len(said) - len(left)
            self.said[record] = left
        return gone

    def live_again(self, rows: Collection[str]) -> None:
        """Take these records' rows for rows that nobody deleted: a restore brought them back."""
        self.rows_deleted = {record: held for record, held in self.rows_deleted.items() if record not in rows}

    def edited(self, side: Side, since: float) -> set[str]:
        """The records of which this side's people have said something since."""
        return {
            record for record, said in self.said.items() if any(one.side == side and one.at >= since for one in said)
        }

    def last_words(self, record: str) -> list[Said]:
        """What nobody has replaced knowingly: each must be in force, or be kept where a person finds it."""
        said = self.said.get(record, [])
        return [one for one in said if not any(later.replaces(one) for later in said)]

    def over(self, record: str, side: Side, value: str, over: Held) -> None:
        """Correct what a value was given over, once a side's own log has told."""
        self.said[record] = [
            replace(one, over=over) if (one.side, one.value) == (side, value) else one for one in self.said[record]
        ]
