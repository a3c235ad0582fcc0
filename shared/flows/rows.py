"""The rows of Dynamics that belong to records, or look as if they did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.domain.ledger import Entry
from shared.domain.model import DynamicsRecord
from shared.domain.schema.mapping import EntityMapping
from shared.flows.ports.engine import Dynamics


@dataclass(frozen=True)
class Rows:
    """`by_key`: every row that Dynamics takes for one of the keys; `by_id`: these, and those that the ledger binds."""

    by_key: Mapping[str, Sequence[DynamicsRecord]]
    by_id: Mapping[str, DynamicsRecord]

    def of(self, key: str) -> Sequence[DynamicsRecord]:
        """The rows that have a key."""
        return self.by_key.get(key, ())

    def bound(self, entry: Entry) -> DynamicsRecord | None:
        """The row that is the record's, whatever its key is."""
        return self.by_id.get(entry.dynamics_id) if entry.dynamics_id is not None else None


async def find_rows(dynamics: Dynamics, entity: EntityMapping, entries: Mapping[str, Entry]) -> Rows:
    """Read the rows of records by their keys, and by their ids where that does not find them.

    Raises:
        TransientError: Dynamics could not be read.
    """
    by_key = await dynamics.by_key(entity, list(entries))
    by_id = {row.id: row for rows in by_key.values() for row in rows}
    # A row whose key was changed in Dynamics is not found by key, but its id is ours.
    wanted = {entry.dynamics_id for entry in entries.values() if entry.dynamics_id} - by_id.keys()
    if wanted:
        by_id |= await dynamics.by_id(entity, sorted(wanted))
    return Rows(by_key, by_id)
