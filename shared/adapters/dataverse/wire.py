"""Dataverse's JSON: decimals stay exact in both directions, and rows become records and back."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from shared.adapters.dataverse.writes import DynamicsWrite
from shared.adapters.http.client import usable_etag
from shared.domain import jsontext
from shared.domain.blocked import digest
from shared.domain.model import BadValue, DynamicsRecord, Value
from shared.domain.schema.fields import FieldMapping
from shared.domain.schema.mapping import CREATED, MODIFIED, MODIFIED_BY, EntityMapping
from shared.domain.schema.values import parse_instant, shown_raw
from shared.errors import MappingError

type Codes = Mapping[tuple[str, str], str | None]
"""Fields and GUIDs, in lower case, to codes; None for a row that has none, or that our user does not see."""


class Binding(NamedTuple):
    """The row that a navigation property is bound to, such as `msdyn_account`, by its set and its GUID."""

    bind: str
    set: str
    row_id: str

    @property
    def column(self) -> dict[str, object]:
        """As a write carries it: `{"msdyn_account@odata.bind": "/accounts(GUID)"}`."""
        return {f"{self.bind}@odata.bind": f"/{self.set}({self.row_id})"}


_VERSION: Final = re.compile(r'(?:W/)?"([0-9]{1,19})"\Z')


def dumps(value: object) -> str:
    """Write JSON as Dataverse reads it: exact decimals, without an exponent."""
    return jsontext.dumps(value, "{:f}".format)


def to_record(entity: EntityMapping, row: Mapping[str, Any], codes: Codes) -> DynamicsRecord:
    """Read a row. A value that its rule refuses is an error of its field, not of the row.

    Args:
        entity: What the row is.
        row: Its JSON.
        codes: The codes of the rows that its lookups refer to, by GUID.

    Raises:
        KeyError: The row has no id.
        ValueError: It has no etag, without which no write to it could be conditional.
    """
    values: dict[str, Value] = {}
    errors: dict[str, BadValue] = {}
    row = with_codes(entity, row, codes)
    for rule in entity.fields.values():
        try:
            values[rule.name] = rule.from_dynamics(row)
        except MappingError as error:
            raw = row.get(rule.read_column)
            errors[rule.name] = BadValue(error, digest(raw), shown_raw(raw))
    state = row.get("statecode")
    key = row.get(entity.key.column)
    etag = usable_etag(row.get("@odata.etag"))
    return DynamicsRecord(
        key=key if isinstance(key, str) else "",
        etag=etag,
        values=values,
        errors=errors,
        id=str(row[entity.id]).lower(),
        state=state if isinstance(state, int) else None,
        is_open=entity.takes_edits(state),
        modified=_instant(row.get(MODIFIED)),
        modified_by=_id(row.get(MODIFIED_BY)),
        created=_instant(row.get(CREATED)),
        version=int(found[1]) if (found := _VERSION.match(etag)) else None,
        currency=None if entity.currency is None else _id(row.get(f"_{entity.currency}_value")),
        operations=None if entity.stamp is None else _operations(row.get(entity.stamp)),
    )


def with_codes(entity: EntityMapping, row: Mapping[str, Any], codes: Codes) -> Mapping[str, Any]:
    """The row with codes in place of GUIDs; what has no code becomes what no rule takes for a value."""
    if not entity.lookups:
        return row
    shown = dict(row)
    for rule in entity.lookups:
        column = rule.read_column
        if isinstance(raw := row.get(column), str):
            code = codes.get((rule.name, raw.lower()))
            shown[column] = [raw] if code is None else code
    return shown


def _instant(raw: object) -> datetime | None:
    try:
        return parse_instant(raw)
    except ValueError:
        return None


def _operations(stamp: object) -> tuple[str, ...]:
    return (stamp,) if isinstance(stamp, str) and stamp else ()


def _id(raw: object) -> str | None:
    return raw.lower() if isinstance(raw, str) else None


def to_columns(
    entity: EntityMapping, write: DynamicsWrite, bindings: Mapping[tuple[str, str], Binding]
) -> dict[str, object]:
    """The columns of a write. A create carries its key and constants; a state carries both of its columns.

    A write with an operation id leaves the id in the operation stamp, where the mapping names one. `bindings` are the
    rows that codes refer to, by field and code: for every code of the write.
    """
    create = write.id is None
    columns: dict[str, object] = dict(entity.constants) if create else {}
    if write.new_id is not None:
        columns[entity.id] = write.new_id
    if create or write.writes_key:
        columns[entity.key.column] = write.key
    if entity.stamp is not None and write.operation:
        columns[entity.stamp] = write.operation
    if write.state is not None:
        state, status = write.state
        if state is not None:
            columns["statecode"] = state
        columns["statuscode"] = status
    for name, value in write.values.items():
        columns |= _of_field(entity.fields[name], value, bindings, create=create)
    return columns


def _of_field(
    rule: FieldMapping, value: Value, bindings: Mapping[tuple[str, str], Binding], *, create: bool
) -> dict[str, object]:
    column = rule.write_column or rule.column
    match rule.type:
        case "choice":
            # Dataverse takes no state on create: a row is born in the state of its status.
            state = {} if rule.state_column is None or create else {rule.state_column: rule.state_of(value)}
            return {rule.column: None if value is None else int(value), **state}
        case "lookup":
            # Clearing one of a lookup's navigation properties clears the column.
            return {f"{rule.targets[0].bind}@odata.bind": None} if value is None else bindings[rule.name, value].column
        case "decimal":
            return {column: None if value is None else Decimal(value)}
    return {column: rule.as_json(value)}
