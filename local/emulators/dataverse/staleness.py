"""List reads that lag: a replica that has not yet seen the last seconds' writes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from local.emulators.dataverse.changes import Change
from local.emulators.dataverse.rows import Row


@dataclass(slots=True)
class StaleReads:
    """Every `every`th list read shows its table as it was `seconds` ago. Reads of one row by its id are current."""

    seconds: float
    every: int = 1
    reads: int = 0

    def strikes(self) -> bool:
        """Count a list read, and tell whether it lags."""
        self.reads += 1
        return self.reads % self.every == 0


def as_of(rows: Sequence[Row], log: Sequence[Change], table: str, moment: datetime) -> Iterator[Row]:
    """Give a table's rows as they were at a moment, in the order of their ids."""
    then: dict[UUID, Row | None] = {}
    for change in reversed(log):
        if change.at <= moment:
            break
        if change.table == table:
            then[change.row_id] = change.before
    found = {row.id: row for row in rows} | then
    return (row for _, row in sorted(found.items()) if row is not None)


def moment_of(now: datetime, stale: StaleReads) -> datetime:
    """The moment that a lagging read shows."""
    return now - timedelta(seconds=stale.seconds)
