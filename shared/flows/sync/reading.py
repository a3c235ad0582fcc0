"""Rule 1: both sides of a round's records, in bulk, after the ledger."""

import asyncio
from collections.abc import Mapping, Sequence

from shared.domain.ledger import Entry
from shared.domain.mapping import EntityMapping
from shared.domain.model import CmmsRecord, DynamicsRecord
from shared.domain.plan import Sides
from shared.flows.ports import Cmms, Dynamics, Ledger
from shared.flows.sync.items import Group
from shared.flows.sync.oneway import listen
from shared.flows.sync.renames import Stranger


class Reader:
    """Reads what a plan is made from. Without the CMMS's API its side is what its messages said."""

    def __init__(self, ledger: Ledger, dynamics: Dynamics, cmms: Cmms | None) -> None:
        self._ledger = ledger
        self._dynamics = dynamics
        self._cmms = cmms

    async def sides(
        self, entity: EntityMapping, groups: dict[str, Group], entries: dict[str, Entry]
    ) -> tuple[dict[str, Sides], dict[str, Entry]]:
        """Both sides by key, and the entries with what the messages added to them."""
        keys = list(groups)
        rows, records = await asyncio.gather(self._rows(entity, entries), self._records(entity, keys))
        sides: dict[str, Sides] = {}
        for key, group in groups.items():
            found, bound = rows[key]
            cmms = records.get(key)
            if self._cmms is None:
                entries[key], cmms = listen(entity, entries[key], group.open_items)
            sides[key] = Sides(cmms, found, bound)
        return sides, entries

    async def strangers(
        self, entity: EntityMapping, groups: dict[str, Group], sides: dict[str, Sides], entries: dict[str, Entry]
    ) -> dict[str, Stranger]:
        """The rows by their keys that are not the key's record's."""
        strangers = {
            key: row.id
            for key in groups
            for row in sides[key].rows
            if row.key == key and row.id != entries[key].dynamics_id
        }
        if not strangers:
            return {}
        bound = await self._ledger.keys_of(entity.name, list(strangers.values()))
        return {key: Stranger(row_id, bound.get(row_id)) for key, row_id in strangers.items()}

    async def _records(self, entity: EntityMapping, keys: Sequence[str]) -> Mapping[str, CmmsRecord]:
        return await self._cmms.by_key(entity, keys) if self._cmms is not None else {}

    async def _rows(
        self, entity: EntityMapping, entries: dict[str, Entry]
    ) -> dict[str, tuple[Sequence[DynamicsRecord], DynamicsRecord | None]]:
        by_key = await self._dynamics.by_key(entity, list(entries))
        bound = {row.id: row for rows in by_key.values() for row in rows}
        # A row whose key was changed in Dynamics is not found by key, but its id is ours.
        wanted = {entry.dynamics_id for entry in entries.values() if entry.dynamics_id} - bound.keys()
        if wanted:
            bound |= await self._dynamics.by_id(entity, sorted(wanted))
        return {
            key: (by_key.get(key, ()), bound.get(entry.dynamics_id) if entry.dynamics_id else None)
            for key, entry in entries.items()
        }
