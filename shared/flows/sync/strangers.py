"""Rows that have the key of a record whose row they are not: they are waited for, and in the end a person is asked."""

from dataclasses import dataclass
from typing import Final

from shared.domain.ledger import Entry
from shared.domain.model import DynamicsRecord
from shared.domain.plan import Plan, Sides
from shared.domain.planned import unusable
from shared.errors import Conflict, KeyNotUsable
from shared.flows.routing.outcomes import Again, Done
from shared.flows.sync.items import Group

PATIENCE: Final = 10
"""Attempts, in about half an hour, after which what was not found is taken for deleted or never to be given back."""
RELEASING: Final = 2
"""Attempts after which a row gives up the key of another record, whose row may be waiting for it."""


@dataclass(frozen=True)
class Stranger:
    """A row that has the key of a record whose row it is not; `owner` is the key of its own record, if it has one."""

    row_id: str
    owner: str | None


def wait_for_rows(
    groups: dict[str, Group], strangers: dict[str, Stranger], sides: dict[str, Sides]
) -> dict[str, DynamicsRecord]:
    """Put off records whose key a row of another record still has, until that row gets its own key back.

    Answers the rows that are to give up another record's key first, because the two may wait for each other.
    """
    releasing: dict[str, DynamicsRecord] = {}
    for key, stranger in strangers.items():
        group, row = groups.get(key), sides[key].bound
        if group is None or stranger.owner in {None, key}:
            continue
        if stranger.row_id == key:
            group.finish(Done(applied=False))  # it gave its key up, and its own id stands in: there is no such record
            continue
        if group.attempts >= PATIENCE:
            continue
        if row is not None and row.is_open and row.key not in {key, row.id} and group.attempts >= RELEASING:
            releasing[key] = row
        else:
            group.finish(Again(Conflict(f"The row of {stranger.owner} has the key {key}, and is to give it back.")))
    return releasing


def is_anothers(key: str, stranger: Stranger | None, sides: Sides) -> bool:
    """Whether all that Dynamics has for the key is a row of another record, which did not give the key back in time."""
    living = sides.cmms is None or not sides.cmms.deleted
    return stranger is not None and stranger.owner not in {None, key} and sides.bound is None and living


def held_back(entry: Entry, stranger: Stranger) -> Plan:
    """The plan of a record whose key a person has to give back."""
    error = KeyNotUsable(
        f"The Dynamics row {stranger.row_id} has the key {entry.key}, but is the row of {stranger.owner}: correct the"
        " key of one of the two records.",
        row_id=stranger.row_id,
    )
    return Plan(entry, blocked=(unusable(error),))
