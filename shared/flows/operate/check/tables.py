"""A table's live definition against the mapping. Pure, no I/O."""

from collections.abc import Iterator
from typing import Final

from shared.domain.schema.fields import FieldMapping
from shared.domain.schema.mapping import STAMP_LENGTH, EntityMapping
from shared.domain.words import plural
from shared.flows.operate.check.findings import Finding, error, ok, warning
from shared.flows.operate.required import ACCEPTED, mapped_columns, new_column
from shared.flows.ports.platform import ColumnInfo, TableInfo

_CURRENCY: Final = "transactioncurrencyid"
"""The lookup that Dataverse adds to every table with a Money column."""
_WHOLE: Final = frozenset({"Integer", "BigInt"})


def compare_table(entity: EntityMapping, table: TableInfo | None) -> Iterator[Finding]:
    """Every finding about one table."""
    area = entity.table
    if table is None:
        yield error(area, "table", "does not exist", f"correct 'table' of {entity.name}, or install its solution")
        return
    if table.set_name != entity.set:
        yield error(area, "table", f"its set is {table.set_name}, not {entity.set}", f"correct 'set' of {entity.name}")
    if table.id_column != entity.id:
        yield error(area, "table", f"its id is {table.id_column}, not {entity.id}", f"correct 'id' of {entity.name}")
    yield from _columns(entity, table)
    yield _key(entity, table)
    if table.change_tracking:
        yield ok(area, "change tracking", "on")
    else:
        yield warning(area, "change tracking", "off: each reconciliation reads every row", "run provision")
    if table.optimistic_concurrency:
        yield ok(area, "optimistic concurrency", "on")
    else:
        action = "switch it on (IsOptimisticConcurrencyEnabled): without it If-Match is not honoured"
        yield error(area, "optimistic concurrency", "off: an edit made between read and write would be lost", action)
    if "CreateMultiple" in table.messages:
        yield ok(area, "CreateMultiple", "available")
    else:
        yield warning(area, "CreateMultiple", "not available: rows are created in $batch, more slowly")


def _columns(entity: EntityMapping, table: TableInfo) -> Iterator[Finding]:
    good: list[str] = []
    for name in sorted(mapped_columns(entity)):
        column = table.columns.get(name)
        if column is None:
            new = new_column(entity, name)
            option = "" if name == entity.stamp else " --columns"
            action = f"'provision{option}' creates it ({new.kind})" if new else "correct the mapping"
            yield error(entity.table, name, "the column does not exist", action)
            continue
        findings = list(_column(entity, table, column))
        yield from findings
        if not findings:
            good.append(name)
    if good:
        yield ok(entity.table, plural(len(good), "column"), ", ".join(good))
    yield from _currency(entity, table)


def _currency(entity: EntityMapping, table: TableInfo) -> Iterator[Finding]:
    """Money without a currency: fine in an organization of one currency, and to be known in any other."""
    money = sorted(
        rule.column
        for rule in entity.fields.values()
        if rule.column in table.columns and table.columns[rule.column].kind == "Money"
    )
    mapped = {rule.column for rule in entity.fields.values()}
    if entity.currency is not None and money:
        yield ok(entity.table, "currency", f"{', '.join(money)} wait for a person where {entity.currency} changes")
    elif money and _CURRENCY not in mapped:
        message = f"{', '.join(money)} are figures in the row's currency, which the mapping does not look at"
        yield ok(entity.table, "currency", f"{message}: if rows may have several, set currency = '{_CURRENCY}'")


def _column(entity: EntityMapping, table: TableInfo, column: ColumnInfo) -> Iterator[Finding]:
    if column.name == entity.key.column:
        yield from _key_column(entity, column)
        return
    if column.name == entity.stamp:
        yield from _stamp_column(entity.table, column)
        return
    for rule in entity.fields.values():
        if column.name == rule.state_column:
            continue
        if column.name in {rule.column, rule.write_column}:
            yield from _field(entity.table, rule, column)
        if column.name == rule.column and rule.type == "choice":
            yield from _choices(entity.table, rule, table)


def _key_column(entity: EntityMapping, column: ColumnInfo) -> Iterator[Finding]:
    area = entity.table
    if column.kind != "String":
        yield error(area, column.name, f"is {column.kind}, and a key must be String", "map the key to a text column")
        return
    if column.max_length is not None and column.max_length < entity.key.length:
        message = (
            f"takes {plural(column.max_length, 'character')}, and the mapping allows {entity.key.length} for the key"
        )
        yield error(area, column.name, message, f"set 'length' of the key to {column.max_length}")
    if not column.create:
        yield error(area, column.name, "cannot be set when a row is created", "map the key to another column")


def _stamp_column(area: str, column: ColumnInfo) -> Iterator[Finding]:
    action = "name a text column of its own as 'stamp', which 'provision' then creates"
    if column.kind not in ACCEPTED["string"]:
        yield error(area, column.name, f"is {column.kind}, and the operation stamp is text", action)
        return
    if column.max_length is not None and column.max_length < STAMP_LENGTH:
        message = f"takes {plural(column.max_length, 'character')}, and the operation stamp needs {STAMP_LENGTH}"
        yield error(area, column.name, message, "make the column longer")
    if not (column.create and column.update):
        yield error(area, column.name, "is read-only, and every write leaves the operation stamp there", action)


def _field(area: str, rule: FieldMapping, column: ColumnInfo) -> Iterator[Finding]:
    if column.kind not in ACCEPTED[rule.type]:
        message = f"is {column.kind}, and the field {rule.name} is {rule.type}"
        yield error(area, column.name, message, "map it to a column of that type, or change the field's type")
        return
    if rule.length is not None and column.max_length is not None and column.max_length < rule.length:
        message = (
            f"takes {plural(column.max_length, 'character')}, and the mapping allows {rule.length} for {rule.name}"
        )
        yield error(area, column.name, message, f"make the column longer, or set 'length' to {column.max_length}")
    if rule.scale is not None and column.precision is not None and column.precision < rule.scale:
        message = f"keeps {plural(column.precision, 'decimal')}, and the mapping allows {rule.scale} for {rule.name}"
        yield error(area, column.name, message, "raise the column's precision, or lower 'scale': it would be rounded")
    if rule.scale != 0 and rule.type == "decimal" and column.kind in _WHOLE:
        message = f"is {column.kind}, which keeps no decimals, and {rule.name} may have some"
        yield error(area, column.name, message, "map it to a Decimal or Money column, or set 'scale' to 0")
    if rule.type == "datetime" and column.behavior == "DateOnly":
        message = f"keeps a date without a time, and the field {rule.name} is a datetime: every value would be refused"
        yield error(area, column.name, message, "set the field's type to date, or map it to a column with a time")
    if rule.type == "date" and column.behavior not in {None, "DateOnly"}:
        message = f"has the behavior {column.behavior}: a date would shift by a day in other time zones"
        yield error(area, column.name, message, "change its behavior to DateOnly")
    if rule.direction != "to_cmms":
        yield from _writable(area, rule, column)


def _writable(area: str, rule: FieldMapping, column: ColumnInfo) -> Iterator[Finding]:
    written = rule.write_column or rule.column
    if column.name != written:
        return
    if rule.create_only:
        if not column.create:
            yield error(area, column.name, "cannot be set when a row is created", "name a 'write_column' that can")
    elif not column.update:
        message = f"is read-only, and {rule.name} is written to it"
        yield error(area, column.name, message, "set 'direction' to to_cmms, or name another 'write_column'")
    elif not column.create and rule.state_column is None:
        message = f"cannot be set when a row is created: {rule.name} takes a second write"
        yield warning(area, column.name, message, "nothing, if that is known of this table")


def _choices(area: str, rule: FieldMapping, table: TableInfo) -> Iterator[Finding]:
    if rule.column not in table.options:
        return
    live = {option.value: option.state for option in table.options[rule.column]}
    wanted: dict[tuple[int, int | None], list[str]] = {}
    for name, option in rule.to_dynamics_choices.items():
        wanted.setdefault((option.status, option.state), []).append(name)
    for (status, state), choices in wanted.items():
        names = ", ".join(choices)
        if status not in live:
            action = "correct to_dynamics_choices, or add the option in Dynamics"
            yield error(area, rule.column, f"has no option {status}, to which {names} is mapped", action)
        elif state is not None and live[status] not in {None, state}:
            message = f"option {status} ({names}) belongs to state {live[status]}, not {state}"
            yield error(area, rule.column, message, "correct 'state' of that choice in the mapping")
    if unknown := sorted(live.keys() - rule.to_cmms_choices.keys()):
        message = f"options {', '.join(map(str, unknown))} are not in the mapping: a row that has one is parked"
        yield warning(area, rule.column, message, f"add them to to_cmms_choices of {rule.name}")


def _key(entity: EntityMapping, table: TableInfo) -> Finding:
    area, subject = entity.table, f"alternate key on {entity.key.column}"
    found = next((key for key in table.keys if key.columns == (entity.key.column,)), None)
    if found is None:
        return error(area, subject, "does not exist: nothing is created in Dynamics without it", "run provision")
    if found.state == "Failed":
        action = "'check --data' lists doubled keys: correct them, then run provision"
        return error(
            area, subject, f"{found.name} is Failed: nothing is created in Dynamics until it is Active", action
        )
    if found.state != "Active":
        action = "wait: 'provision' shows its progress"
        return error(area, subject, f"{found.name} is {found.state}: nothing is created until it is Active", action)
    return ok(area, subject, f"{found.name} is Active")
