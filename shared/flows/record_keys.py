"""Which row is which record's by now, told by the links: for the rows that other rows refer to.

A key names another row in Dynamics than in the CMMS from the moment at which records exchange their keys, or take them
over from each other, until their rows have followed. A link names the same two all the time.
"""

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Final, Literal

from shared.domain.link import Identity, Stored
from shared.domain.model import CmmsRecord
from shared.domain.schema.fields import Target
from shared.domain.schema.mapping import EntityMapping
from shared.domain.schema.mapping import Mapping as FieldTable
from shared.errors import MappingError
from shared.flows.ports.engine import Clock, Cmms, Ledger

REMEMBERED: Final = timedelta(minutes=10)
MOST: Final = 50_000
"""Partners that are remembered, two for each link: some 10 MB."""

type _Kind = Literal["cmms", "row"]


class LinkedKeys:
    """Asks the ledger for the links, and the CMMS for their records' keys: see `RecordKeys`.

    Which record and row a link names is remembered for ten minutes: a row that another record has taken over since is
    then that of a deleted record, which has no key any more.
    """

    def __init__(self, mapping: FieldTable, ledger: Ledger, cmms: Cmms, clock: Clock) -> None:
        self._entities = {(one.table, one.key.column): one for one in mapping.entities.values()}
        self._ledger = ledger
        self._cmms = cmms
        self._clock = clock
        self._since = clock.monotonic()
        self._partners: dict[tuple[str, _Kind, str], str] = {}
        """By entity, and by the id of a record or row, the id of the other one of its link."""

    async def of_rows(self, target: Target, rows: Collection[str]) -> Mapping[str, str]:
        """The keys of the records that these rows are linked with, by row id."""
        entity = self._entities.get((target.table, target.key))
        if entity is None:
            return {}
        ids = await self._partners_of(entity, "row", rows)
        records = _living(await self._cmms.by_id(entity, ids.values()))
        return {row_id: records[cmms_id].key for row_id, cmms_id in ids.items() if cmms_id in records}

    async def to_rows(self, target: Target, keys: Collection[str]) -> Mapping[str, str]:
        """The ids of the rows that the records with these keys are linked with, by key."""
        entity = self._entities.get((target.table, target.key))
        if entity is None:
            return {}
        records = _living(await self._cmms.by_key(entity, keys))
        rows = await self._partners_of(entity, "cmms", [record.id for record in records.values()])
        return {key: rows[record.id] for key, record in records.items() if record.id in rows}

    async def _partners_of(self, entity: EntityMapping, kind: _Kind, names: Collection[str]) -> dict[str, str]:
        if self._clock.monotonic() - self._since > REMEMBERED.total_seconds() or len(self._partners) > MOST:
            self._since, self._partners = self._clock.monotonic(), {}
        # Another lane may begin anew while this one waits for the ledger.
        known = self._partners
        wanted = {name: (entity.name, kind, name) for name in names}
        missing = [Identity(kind, name) for name, partner in wanted.items() if partner not in known]
        for stored in (await self._ledger.find(entity.name, missing)).values():
            if isinstance(stored, Stored) and stored.link.cmms_id and stored.link.row_id:
                known[entity.name, "cmms", stored.link.cmms_id] = stored.link.row_id
                known[entity.name, "row", stored.link.row_id] = stored.link.cmms_id
        return {name: known[partner] for name, partner in wanted.items() if partner in known}


def _living(records: Mapping[str, CmmsRecord | MappingError]) -> dict[str, CmmsRecord]:
    return {name: one for name, one in records.items() if isinstance(one, CmmsRecord) and one.living}
