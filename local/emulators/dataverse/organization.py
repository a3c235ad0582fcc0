"""The state of one emulated environment: its tables' rows and the rules of writing them.

Everything here is synchronous: nothing can interleave between two awaits of a handler, so every operation,
and every `transaction()` block, is atomic.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from local.emulators.dataverse.access import demand, demand_columns
from local.emulators.dataverse.changes import Caller, Change, Message
from local.emulators.dataverse.costs import Costs
from local.emulators.dataverse.environment import Organization, random_ids, wall_clock
from local.emulators.dataverse.errors import Refusal
from local.emulators.dataverse.faults import Faults
from local.emulators.dataverse.journal import Journal
from local.emulators.dataverse.limits import Limits, ServiceProtection
from local.emulators.dataverse.payload import PayloadReader
from local.emulators.dataverse.platform import (
    BULK_MESSAGES,
    EVENT_MESSAGES,
    FILTERS,
    MESSAGES,
    USERS,
    platform_id,
    platform_tables,
)
from local.emulators.dataverse.plugins import PlugIn, run
from local.emulators.dataverse.reference_tables import reference_tables
from local.emulators.dataverse.rows import Collation, Row, TableRows, frozen
from local.emulators.dataverse.schema import ColumnType, Table
from local.emulators.dataverse.staleness import StaleReads
from local.emulators.dataverse.states import first_state, next_state
from local.emulators.dataverse.tables import customer_asset, sales_order
from local.emulators.dataverse.users import OVERRIDE_CREATED, SystemUser
from local.emulators.dataverse.values import Value


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A backup: rows by table, and how far row versions and the change log had come."""

    version: int
    changes: int
    rows: Mapping[str, tuple[Row, ...]]


class Dataverse:
    """One environment in memory.

    `key_index_seconds` is how long a new alternate key stays Pending. `costs`, `protection.limits`, `dop_hint` (the
    degree of parallelism that answers recommend), `faults`, `plug_ins` and `stale_reads` may be changed at any time.
    """

    def __init__(
        self,
        *,
        organization: Organization | None = None,
        tables: Iterable[Table] | None = None,
        users: Iterable[SystemUser] = (),
        clock: Callable[[], datetime] = wall_clock,
        ids: Callable[[], UUID] = random_ids,
        collation: Collation = Collation.ACCENT_BLIND,
        costs: Costs | None = None,
        limits: Limits | None = None,
        dop_hint: int | None = 8,
        key_index_seconds: float = 0.5,
    ) -> None:
        self.organization = organization or Organization()
        self.clock = clock
        self.new_id = ids
        self.collation = collation
        self.tables: dict[str, TableRows] = {}
        self.key_index_seconds = key_index_seconds
        for table in platform_tables():
            self.add_table(table)
        for message in (*EVENT_MESSAGES, *BULK_MESSAGES):
            self._set_up(MESSAGES, platform_id(MESSAGES, message), name=message)
        for table in (customer_asset(), sales_order(), *reference_tables()) if tables is None else tables:
            self.install(table)
        self.users: dict[str, SystemUser] = {}
        for user in users:
            self.put_user(user)
        self._journal = Journal(clock, ids)
        self.costs = costs or Costs()
        self.protection = ServiceProtection(limits)
        self.dop_hint = dop_hint
        self.faults = Faults()
        self.plug_ins: list[PlugIn] = []
        self.stale_reads: StaleReads | None = None
        self.defaults: dict[str, Value] = {}
        """By column, what a new row gets where nobody gives a value, such as the user's currency."""
        self._referred: set[UUID] = set()

    @property
    def log(self) -> list[Change]:
        """The committed changes."""
        return self._journal.changes

    @property
    def subscribers(self) -> list[Callable[[Change], None]]:
        """Called with each committed change, in commit order."""
        return self._journal.subscribers

    def install(self, table: Table) -> None:
        """Add an empty table, as a solution does: with the messages that steps can be registered for."""
        self.add_table(table)
        for message in (*EVENT_MESSAGES, *(BULK_MESSAGES if table.bulk_messages else ())):
            self._set_up(
                FILTERS,
                platform_id(FILTERS, message, table.name),
                name=f"{message} of {table.name}",
                primaryobjecttypecode=table.name,
                sdkmessageid=platform_id(MESSAGES, message),
                iscustomprocessingstepallowed=True,
            )

    def add_table(self, table: Table) -> TableRows:
        """Add an empty table, without messages of its own."""
        rows = self.tables[table.name] = TableRows(table, self.collation)
        return rows

    def put_user(self, user: SystemUser) -> None:
        """Add a user, or replace the one with the same application id."""
        self.users[user.application_id] = user
        self._set_up(
            USERS,
            user.id,
            fullname=user.name,
            applicationid=_application_id(user.application_id),
            isdisabled=user.disabled,
        )

    def remove_user(self, application_id: str) -> None:
        """Remove a user that exists."""
        self.tables[USERS].remove(self.users.pop(application_id).id)

    def _set_up(self, table: str, row_id: UUID, **values: Value) -> None:
        rows = self.tables[table]
        complete = dict.fromkeys(rows.table.columns) | values | {rows.table.primary_id: row_id}
        rows.put(Row(row_id, 1, frozen(complete)))

    def set_named(self, set_name: str) -> TableRows:
        """Find a table by entity set name; DataverseError UNKNOWN_SEGMENT if there is none."""
        for rows in self.tables.values():
            if rows.table.set_name == set_name:
                return rows
        raise Refusal.UNKNOWN_SEGMENT(segment=set_name)

    def create(self, rows: TableRows, body: Mapping[str, Any], caller: Caller, *, row_id: UUID | None = None) -> Row:
        """Insert a row; `body` is the parsed JSON object, `row_id` the id of an upsert by id."""
        demand(caller, "Create", rows.table)
        table = rows.table
        given = self._read(table, Message.CREATE, body, caller)
        demand_columns(caller, table, given, "create")
        given = run(self.plug_ins, table, Message.CREATE, given)
        if given.get("overriddencreatedon") is not None and OVERRIDE_CREATED in caller.user.denied:
            raise Refusal.MISSING_PRIVILEGE(user=caller.user.id, privilege=f"prv{OVERRIDE_CREATED}")
        chosen = row_id or given.get(table.primary_id)
        new_id = chosen if isinstance(chosen, UUID) else self.new_id()
        if rows.get(new_id) is not None:
            raise Refusal.DUPLICATE(table=table.name)
        now = self.clock().replace(microsecond=0)
        defaults = {name: value for name, value in self.defaults.items() if name in table.columns}
        values: dict[str, Value] = dict.fromkeys(table.columns) | defaults | given
        values |= {
            table.primary_id: new_id,
            "createdon": given.get("overriddencreatedon") or now,
            "modifiedon": now,
            "createdby": caller.user.id,
            "modifiedby": caller.user.id,
            "ownerid": given.get("ownerid") or caller.user.id,
        }
        values |= first_state(table, given, new_id)
        PayloadReader.check_required(table, values)
        return self._store(
            rows,
            message=Message.CREATE,
            before=None,
            row_id=new_id,
            values=values,
            columns=frozenset(given),
            caller=caller,
        )

    def update(self, rows: TableRows, row_id: UUID, body: Mapping[str, Any], caller: Caller) -> Row:
        """Change a row. A change to the same values is a change too: a new version and a new `modifiedon`."""
        demand(caller, "Write", rows.table)
        table = rows.table
        before = self.retrieve(rows, row_id, caller, privilege=None)
        given = self._read(table, Message.UPDATE, body, caller)
        demand_columns(caller, table, given, "update")
        given = run(self.plug_ins, table, Message.UPDATE, given)
        values = dict(before.values) | given
        values |= next_state(table, before, given)
        values |= {"modifiedon": self.clock().replace(microsecond=0), "modifiedby": caller.user.id}
        PayloadReader.check_required(table, values)
        return self._store(
            rows,
            message=Message.UPDATE,
            before=before,
            row_id=row_id,
            values=values,
            columns=frozenset(given),
            caller=caller,
        )

    def delete(self, rows: TableRows, row_id: UUID, caller: Caller) -> None:
        """Delete a row."""
        demand(caller, "Delete", rows.table)
        before = self.retrieve(rows, row_id, caller, privilege=None)
        rows.remove(row_id)
        self._journal.version += 1
        self._journal.record(
            rows, message=Message.DELETE, before=before, after=None, columns=frozenset(), caller=caller
        )
        self._unlink(rows.table.name, row_id, caller)

    def _read(self, table: Table, message: Message, body: Mapping[str, Any], caller: Caller) -> dict[str, Value]:
        """Read a payload; the rows that it refers to must exist, where the organization has their table."""
        reader = PayloadReader(table, message, numbers_as_text=caller.numbers_as_text)
        given = reader.read(body)
        for bound in reader.bound:
            target = self.tables.get(bound.table)
            if target is None:
                continue
            if bound.set_name != target.table.set_name:
                detail = f"'{bound.set_name}' is not the set of {bound.table}, to which the property refers."
                raise Refusal.PAYLOAD(set=table.set_name, detail=detail)
            if target.get(bound.row_id) is None:
                raise Refusal.NOT_FOUND(table=bound.table, id=bound.row_id)
        return given

    def retrieve(self, rows: TableRows, row_id: UUID, caller: Caller, *, privilege: str | None = "Read") -> Row:
        """Find a row by id; DataverseError NOT_FOUND if there is none."""
        if privilege:
            demand(caller, privilege, rows.table)
        row = rows.get(row_id)
        if row is None:
            raise Refusal.NOT_FOUND(table=rows.table.name, id=row_id)
        return row

    def may_read(self, rows: TableRows, caller: Caller) -> None:
        """Refuse a user who may not read the table."""
        demand(caller, "Read", rows.table)

    def _note_references(self, table: Table, row: Row) -> None:
        self._referred.update(
            value
            for column in table.columns.values()
            if column.type is ColumnType.LOOKUP and isinstance(value := row.values.get(column.name), UUID)
        )

    def _unlink(self, table: str, row_id: UUID, caller: Caller) -> None:
        """Clear the lookups that refer to a deleted row, as a relationship of the type Referential does."""
        if row_id not in self._referred:
            return
        for rows in self.tables.values():
            columns = [one.name for one in rows.table.columns.values() if table in one.targets]
            for row in [one for one in rows if any(one.values.get(name) == row_id for name in columns)]:
                cleared = [name for name in columns if row.values.get(name) == row_id]
                self._store(
                    rows,
                    message=Message.UPDATE,
                    before=row,
                    row_id=row.id,
                    values=dict(row.values) | dict.fromkeys(cleared),
                    columns=frozenset(cleared),
                    caller=caller,
                )

    def snapshot(self) -> Snapshot:
        """Take a backup of every table's rows, and of the number that row versions have come to."""
        return Snapshot(self._journal.version, len(self.log), {name: tuple(rows) for name, rows in self.tables.items()})

    def restore(self, backup: Snapshot) -> None:
        """Put a backup back: rows, row versions and the change log are as they were; versions will repeat."""
        self._journal.go_back(backup.version, backup.changes)
        for name, rows in self.tables.items():
            rows.become(backup.rows.get(name, ()))

    def replay(self, change: Change) -> None:
        """Take a change that an organization of the same tables went through, without telling the subscribers."""
        rows = self.tables[change.table]
        if change.after is not None:
            rows.put(change.after)
            self._note_references(rows.table, change.after)
        elif rows.get(change.row_id) is not None:
            rows.remove(change.row_id)
        self._journal.take(change)

    def transaction(self) -> AbstractContextManager[None]:
        """Make a block all or nothing: an exception undoes its changes and events. Blocks do not nest."""
        return self._journal.transaction()

    def _store(
        self,
        rows: TableRows,
        *,
        message: Message,
        before: Row | None,
        row_id: UUID,
        values: dict[str, Value],
        columns: frozenset[str],
        caller: Caller,
    ) -> Row:
        values["versionnumber"] = self._journal.version + 1
        row = Row(row_id, self._journal.version + 1, frozen(values))
        rows.put(row)
        self._note_references(rows.table, row)
        self._journal.version += 1  # not before: a row that is refused takes no version
        self._journal.record(rows, message=message, before=before, after=row, columns=columns, caller=caller)
        return row


def _application_id(text: str) -> UUID:
    """An application id is a GUID; a name that a test gives instead becomes one."""
    try:
        return UUID(text)
    except ValueError:
        return platform_id(USERS, text)
