"""Rule 1: both sides of a round's records, in bulk, after the ledger."""

import asyncio
from collections.abc import Mapping, Sequence

from shared.domain.ledger import Entry
from shared.domain.model import CmmsRecord
from shared.domain.plan import Sides
from shared.domain.schema.mapping import EntityMapping
from shared.errors import MappingError
from shared.flows.ports.engine import Cmms, Dynamics, Ledger
from shared.flows.routing.outcomes import Park
from shared.flows.rows import find_rows
from shared.flows.sync.items import Group
from shared.flows.sync.oneway import listen
from shared.flows.sync.strangers import Stranger


class Reader:
    """Reads what a plan is made from. Without the CMMS's API its side is what its messages said."""

    def __init__(self, ledger: Ledger, dynamics: Dynamics, cmms: Cmms | None) -> None:
        self._ledger = ledger
        self._dynamics = dynamics
        self._cmms = cmms

    async def sides(
        self, entity: EntityMapping, groups: dict[str, Group], entries: dict[str, Entry]
    ) -> tuple[dict[str, Sides], dict[str, Entry]]:
        """Both sides by key, and the entries with what the messages added to them.

        A record that the CMMS shows in no usable form is left out, and its messages are parked: they say what is wrong.
        """
        keys = list(groups)
        rows, records = await asyncio.gather(find_rows(self._dynamics, entity, entries), self._records(entity, keys))
        sides: dict[str, Sides] = {}
        for key, group in groups.items():
            cmms, row = records.get(key), rows.bound(entries[key])
            if isinstance(cmms, MappingError):
                group.finish(Park(cmms))
                continue
            if self._cmms is None:
                entries[key], cmms = listen(entity, entries[key], group.open_items)
            sides[key] = Sides(cmms, rows.of(key), row)
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

    async def _records(self, entity: EntityMapping, keys: Sequence[str]) -> Mapping[str, CmmsRecord | MappingError]:
        return await self._cmms.each_by_key(entity, keys) if self._cmms is not None else {}
