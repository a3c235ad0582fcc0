"""What the tables of Dynamics say before any record is read: what must be mended first, and how long texts may be."""

from dataclasses import dataclass

from shared.domain.schema.fields import FieldMapping
from shared.domain.schema.mapping import EntityMapping
from shared.flows.operate.check.findings import Finding, Level
from shared.flows.operate.check.tables import compare_table
from shared.flows.operate.required import mapped_columns
from shared.flows.ports.platform import Platform, TableInfo


@dataclass(frozen=True)
class Preconditions:
    """The entity with the limits that its columns really have, and the errors that `check` would name."""

    entity: EntityMapping
    cannot: tuple[Finding, ...]


async def preconditions(entity: EntityMapping, platform: Platform) -> Preconditions:
    """Compare an entity with its table.

    Raises:
        SyncError: Dynamics could not be asked.
    """
    table = await platform.table(entity.table, mapped_columns(entity))
    cannot = tuple(one for one in compare_table(entity, table) if one.level is Level.ERROR)
    return Preconditions(entity if table is None else _limited(entity, table), cannot)


def _limited(entity: EntityMapping, table: TableInfo) -> EntityMapping:
    """The entity, with texts as short as their columns: what the mapping does not limit, Dynamics would refuse."""

    def limited(rule: FieldMapping) -> FieldMapping:
        column = table.columns.get(rule.write_column or rule.column)
        if rule.type != "string" or column is None or column.max_length is None:
            return rule
        return rule.model_copy(update={"length": min(rule.length or column.max_length, column.max_length)})

    return entity.model_copy(update={"fields": {name: limited(rule) for name, rule in entity.fields.items()}})
