"""What became of the systems themselves, without anybody's edit: what the checker knows of it."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from shared.domain.link import Restored
from tests.simulation.edits import Side


@dataclass
class Conditions:
    """Sets of what is so now, and of what ever was so, as it may have left parked messages behind.

    `closed` are the columns that our user was ever refused, `unreadable` those of now, `secured` the fields that ever
    had one of them. `idle` are the fields of a side of which writes ever had no effect, `idle_columns` such columns.
    `rewound` are (entity, id) of what a restored backup took back, by side, and `vanished` of what it took away. Of the
    `untraced` ones it took back no write of ours that their links had seen, so that an edit since is all that there is
    to see, unless the entity is among `told`: those of a side of which a restore took back what links had seen change,
    which tells of it until an operator does. `resumed` are what people edited in these since, and `unknown` what a
    ledger that was restored meanwhile knows less of: what the integration wrote there since looks like an edit to it.
    `edited` is what people edited in a side since it was restored, whether or not something told of that.
    `unwritten` are the records of a restored CMMS that showed something that was not agreed: nothing tells whether the
    restore took back a change without a version. `highest` is the highest row version of before a restore of Dynamics.
    `forgotten` are CMMS records whose link a restored ledger does not have, `revalued` the rows that a person ever gave
    another currency.
    `lacking` are the serial numbers that stand for no row now, `lacked` for none at any time. `mass` tells whether one
    field was ever emptied in very many records at once, `stale` whether list reads ever lagged. `orderless` tells
    whether orders were ever left out of the mapping.
    `said` is what an operator said to have been restored, and to the state of when.
    """

    secured: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    idle: set[tuple[Side, str]] = field(default_factory=set)
    idle_columns: set[str] = field(default_factory=set)
    rewound: dict[Side, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    vanished: dict[Side, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    untraced: dict[Side, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    highest: int = 0
    told: dict[Side, set[str]] = field(default_factory=lambda: defaultdict(set))
    resumed: dict[Side, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    unknown: dict[Side, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    edited: dict[Side, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    unwritten: set[tuple[str, str]] = field(default_factory=set)
    mass: bool = False
    stale: bool = False
    forgotten: set[tuple[str, str]] = field(default_factory=set)
    played: list[str] = field(default_factory=list)
    orderless: bool = False
    revalued: set[tuple[str, str]] = field(default_factory=set)
    lacking: set[str] = field(default_factory=set)
    lacked: set[str] = field(default_factory=set)
    said: dict[Restored, datetime] = field(default_factory=dict)

    def went_back(self, side: Side) -> set[tuple[str, str]]:
        """What ever went back on a side, or looks as if it went on from a backup."""
        return self.rewound[side] | self.resumed[side] | self.unknown[side]
