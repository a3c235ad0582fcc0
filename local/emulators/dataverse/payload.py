"""Reading the JSON object of a write: names to columns, values to stored values, and what is required."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from local.emulators.dataverse.changes import Message
from local.emulators.dataverse.errors import Refusal
from local.emulators.dataverse.schema import Column, ColumnType, Required, Table, Write
from local.emulators.dataverse.values import Value, parse_text, to_stored

_BIND = "@odata.bind"
_REFERENCE = re.compile(r"(?:.*/)?(?P<set>\w+)\((?P<id>[0-9a-fA-F-]{36})\)")


@dataclass(frozen=True, slots=True)
class Bound:
    """A row that a payload refers to: its table, the set that the payload names, and its id."""

    table: str
    set_name: str
    row_id: UUID


class PayloadReader:
    """Reads payloads of one operation on one table.

    Annotations (`@odata.type` and the like) are skipped. A column that the operation may not write is
    skipped without a word where the service does so (`createdon`), and refused where the schema says so.
    """

    def __init__(self, table: Table, message: Message, *, numbers_as_text: bool = False) -> None:
        self._table = table
        self._message = message
        self._numbers_as_text = numbers_as_text
        self.bound: list[Bound] = []

    def read(self, body: Mapping[str, Any]) -> dict[str, Value]:
        """Convert a payload; DataverseError names the property that is unknown, wrong or not writable."""
        values: dict[str, Value] = {}
        for name, value in body.items():
            if name.endswith(_BIND):
                column, bound = self._bound(name.removesuffix(_BIND), value)
            elif "@" in name:
                continue
            else:
                column, bound = self._column(name), value
                if column.type is ColumnType.LOOKUP:
                    raise self._unknown(name)
                bound = to_stored(self._table, column, value, numbers_as_text=self._numbers_as_text)
            if self._writable(column):
                values[column.name] = bound
        return values

    @staticmethod
    def check_required(table: Table, values: Mapping[str, Value]) -> None:
        """Refuse a row without a value that the platform demands."""
        for column in table.columns.values():
            if column.required is Required.SYSTEM and values.get(column.name) is None:
                raise Refusal.COLUMN_REQUIRED(column=column.name, table=table.name)

    def _column(self, name: str) -> Column:
        column = self._table.columns.get(name)
        if column is None:
            raise self._unknown(name)
        return column

    def _bound(self, navigation: str, value: Any) -> tuple[Column, Value]:
        found = self._table.by_navigation(navigation)
        if found is None:
            raise self._unknown(navigation)
        column, referred = found
        if value is None:
            return column, None
        match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
        target = parse_text(ColumnType.LOOKUP, match["id"]) if match else None
        if match is None or not isinstance(target, UUID):
            detail = f"The value of '{navigation}{_BIND}' must look like /accounts(GUID)."
            raise Refusal.PAYLOAD(set=self._table.set_name, detail=detail)
        self.bound.append(Bound(referred, match["set"], target))
        return column, target

    def _writable(self, column: Column) -> bool:
        rule = column.on_create if self._message is Message.CREATE else column.on_update
        if rule is Write.REFUSED:
            raise Refusal.NOT_WRITABLE(
                column=column.name, table=self._table.name, operation=self._message.value.lower()
            )
        return rule is Write.ALLOWED

    def _unknown(self, name: str) -> Exception:
        return Refusal.UNKNOWN_PROPERTY(set=self._table.set_name, column=name, table=self._table.name)
