"""Rows as JSON objects, with the annotations that the request asked for."""

from typing import Any

from local.emulators.dataverse.organization import Dataverse
from local.emulators.dataverse.rows import Row
from local.emulators.dataverse.schema import Column, ColumnType, Table
from local.emulators.dataverse.values import to_json
from local.emulators.dataverse.wire.messages import ODataRequest

_CHOICES = {ColumnType.PICKLIST, ColumnType.STATE, ColumnType.STATUS}
_FORMATTED = "OData.Community.Display.V1.FormattedValue"


class RowRenderer:
    """Renders the rows of one table for one request; the id is always among the columns."""

    def __init__(
        self, dataverse: Dataverse, table: Table, select: tuple[Column, ...] | None, request: ODataRequest
    ) -> None:
        self._tables = dataverse.tables
        chosen = list(table.columns.values() if select is None else select)
        primary = table.columns[table.primary_id]
        if primary not in chosen:
            chosen.append(primary)
        self._hidden = table.hidden_from(request.caller.user.application_id)
        wanted = request.preferences.get("odata.include-annotations", "")
        self._annotate = wanted == "*" or _FORMATTED in wanted or wanted == "OData.Community.*"
        self._columns = [(column.name, column.wire_name, column) for column in chosen if column.readable]

    def render(self, row: Row) -> dict[str, Any]:
        """Make the JSON object of a row, its etag first."""
        values = row.values if not self._hidden else {**row.values, **dict.fromkeys(self._hidden)}
        shown: dict[str, Any] = {"@odata.etag": row.etag}
        if not self._annotate:
            shown.update((wire, to_json(values.get(name))) for name, wire, _ in self._columns)
            return shown
        for name, wire, column in self._columns:
            value = values.get(name)
            if value is not None and column.type in _CHOICES and isinstance(value, int):
                option = column.option(value)
                shown[f"{wire}@{_FORMATTED}"] = option.label if option else str(value)
            if value is not None and column.type is ColumnType.LOOKUP:
                shown |= self._of_lookup(column, wire, value)
            shown[wire] = to_json(value)
        return shown

    def _of_lookup(self, column: Column, wire: str, value: Any) -> dict[str, Any]:
        """The table and the name of the row that a lookup refers to; where no table has it, the first table."""
        rows = {name: self._tables[name].get(value) for name in column.targets if name in self._tables}
        name = next((name for name, row in rows.items() if row is not None), next(iter(column.targets), ""))
        row = rows.get(name)
        shown = {f"{wire}@Microsoft.Dynamics.CRM.lookuplogicalname": name}
        if row is not None:
            shown[f"{wire}@{_FORMATTED}"] = str(row.values.get(self._tables[name].table.primary_name) or "")
        return shown


def context_url(request: ODataRequest, table: Table, select: tuple[Column, ...] | None, *, single: bool) -> str:
    """Make the `@odata.context` of an answer."""
    names = f"({','.join(column.wire_name for column in select)})" if select else ""
    return f"{request.root}/$metadata#{table.set_name}{names}{'/$entity' if single else ''}"
