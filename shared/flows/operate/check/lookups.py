"""The lookups of a table's mapping against the relationships and target tables of the organization. Pure, no I/O."""

from collections.abc import Iterator, Mapping

from shared.domain.schema.fields import FieldMapping, Target
from shared.domain.schema.mapping import EntityMapping
from shared.flows.operate.check.findings import Finding, error, ok, warning
from shared.flows.ports.platform import TableInfo


def targets_of(entity: EntityMapping) -> dict[str, frozenset[str]]:
    """The tables that an entity's lookups refer to, with the columns that are read of each."""
    found: dict[str, frozenset[str]] = {}
    for rule in entity.lookups:
        for target in rule.targets:
            found[target.table] = found.get(target.table, frozenset()) | {target.id, target.key}
    return found


def compare_lookups(
    entity: EntityMapping, table: TableInfo, targets: Mapping[str, TableInfo | None]
) -> Iterator[Finding]:
    """Every finding about the lookups of one table; `targets` are the tables of `targets_of`."""
    for rule in entity.lookups:
        found = [finding for target in rule.targets for finding in _target(rule, target, table, targets[target.table])]
        yield from found
        if not found:
            names = ", ".join(f"{target.table}.{target.key}" for target in rule.targets)
            yield ok(entity.table, rule.column, f"refers to {names}")


def _target(rule: FieldMapping, target: Target, table: TableInfo, referred: TableInfo | None) -> Iterator[Finding]:
    area, subject = table.name, rule.column
    if referred is None:
        yield error(area, subject, f"the table {target.table} does not exist", f"correct 'table' of {rule.name}")
        return
    if (referred.set_name, referred.id_column) != (target.set, target.id):
        message = f"{target.table} has the set {referred.set_name} and the id {referred.id_column}"
        yield error(area, subject, message, f"correct 'set' and 'id' of {rule.name}")
    if target.key not in referred.columns:
        message = f"{target.table} has no column {target.key}"
        yield error(area, subject, message, f"correct 'key' of {rule.name}, or create the column")
    elif not any(key.columns == (target.key,) and key.state == "Active" for key in referred.keys):
        message = f"{target.table}.{target.key} is no alternate key: a code that two rows have is refused"
        yield warning(area, subject, message, "nothing, if its values are unique; else make it an alternate key")
    binds = [one.bind for one in table.relationships if (one.column, one.table) == (rule.column, target.table)]
    if not binds:
        message = f"does not refer to {target.table}"
        yield error(area, subject, message, f"correct 'column' or 'table' of {rule.name}")
    elif target.bind not in binds:
        message = f"its navigation property to {target.table} is {binds[0]}, not {target.bind}"
        yield error(area, subject, message, f"set 'bind' of {rule.name} to it: capital letters count")
