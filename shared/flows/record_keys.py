"""Which row is which record's by now, told by the links: for the rows that other rows refer to.

A key names another row in Dynamics than in the CMMS from the moment at which records exchange their keys, or take them
over from each other, until their rows have followed. A link names the same two all the time.
"""

from collections.abc import Collection, Mapping

from shared.domain.link import Identity, IdentityKind, Link, Stored
from shared.domain.model import CmmsRecord
from shared.domain.schema.fields import Target
from shared.domain.schema.mapping import EntityMapping
from shared.domain.schema.mapping import Mapping as FieldTable
from shared.errors import MappingError
from shared.flows.ports.engine import Cmms, Ledger


class LinkedKeys:
    """Asks the ledger for the links, and the CMMS for their records' keys: see `RecordKeys`."""

    def __init__(self, mapping: FieldTable, ledger: Ledger, cmms: Cmms) -> None:
        self._entities = {(one.table, one.key.column): one for one in mapping.entities.values()}
        self._ledger = ledger
        self._cmms = cmms

    async def of_rows(self, target: Target, rows: Collection[str]) -> Mapping[str, str]:
        """The keys of the records that these rows are linked with, by row id."""
        entity = self._entities.get((target.table, target.key))
        if entity is None or not rows:
            return {}
        links = await self._links(entity, "row", rows)
        records = _living(await self._cmms.by_id(entity, [link.cmms_id for link in links if link.cmms_id]))
        return {link.row_id: records[link.cmms_id].key for link in links if link.row_id and link.cmms_id in records}

    async def to_rows(self, target: Target, keys: Collection[str]) -> Mapping[str, str]:
        """The ids of the rows that the records with these keys are linked with, by key."""
        entity = self._entities.get((target.table, target.key))
        if entity is None or not keys:
            return {}
        records = _living(await self._cmms.by_key(entity, keys))
        links = await self._links(entity, "cmms", [record.id for record in records.values()])
        rows = {link.cmms_id: link.row_id for link in links if link.row_id}
        return {key: rows[record.id] for key, record in records.items() if record.id in rows}

    async def _links(self, entity: EntityMapping, kind: IdentityKind, names: Collection[str]) -> list[Link]:
        found = await self._ledger.find(entity.name, [Identity(kind, name) for name in names])
        return [stored.link for stored in found.values() if isinstance(stored, Stored)]


def _living(records: Mapping[str, CmmsRecord | MappingError]) -> dict[str, CmmsRecord]:
    return {name: one for name, one in records.items() if isinstance(one, CmmsRecord) and one.living}
