"""Dataverse's JSON: decimals stay exact in both directions, and rows become records and back."""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from shared.adapters.http.client import usable_etag
from shared.domain import jsontext
from shared.domain.merge import digest
from shared.domain.model import BadValue, DynamicsRecord, Value
from shared.domain.schema.mapping import CREATED, MODIFIED, MODIFIED_BY, EntityMapping
from shared.domain.schema.values import parse_instant, shown_raw
from shared.errors import MappingError
from shared.flows.ports.engine import DynamicsWrite

_VERSION: Final = re.compile(r'(?:W/)?"([0-9]{1,19})"\Z')


def dumps(value: object) -> str:
    """Write JSON as Dataverse reads it: exact decimals, without an exponent."""
    return jsontext.dumps(value, "{:f}".format)


def to_record(entity: EntityMapping, row: Mapping[str, Any]) -> DynamicsRecord:
    """Read a row. A value that its rule refuses is an error of its field, not of the row.

    Raises:
        KeyError: The row has no id.
        ValueError: It has no etag, without which no write to it could be conditional.
    """
    values: dict[str, Value] = {}
    errors: dict[str, BadValue] = {}
    for rule in entity.fields.values():
        try:
            values[rule.name] = rule.from_dynamics(dict(row))
        except MappingError as error:
            raw = row.get(rule.column)
            errors[rule.name] = BadValue(error, digest(raw), shown_raw(raw))
    state = row.get("statecode")
    key = row.get(entity.key.column)
    etag = usable_etag(row.get("@odata.etag"))
    stamp = row.get(entity.stamp) if entity.stamp is not None else None
    return DynamicsRecord(
        key=key if isinstance(key, str) else "",
        etag=etag,
        values=values,
        errors=errors,
        id=str(row[entity.id]).lower(),
        state=state if isinstance(state, int) else None,
        is_open=entity.open_states is None or state in entity.open_states,
        modified=_instant(row.get(MODIFIED)),
        modified_by=_id(row.get(MODIFIED_BY)),
        created=_instant(row.get(CREATED)),
        version=int(found[1]) if (found := _VERSION.match(etag)) else None,
        stamp=stamp if isinstance(stamp, str) and stamp else None,
    )


def _instant(raw: object) -> datetime | None:
    try:
        return parse_instant(raw)
    except ValueError:
        return None


def _id(raw: object) -> str | None:
    return raw.lower() if isinstance(raw, str) else None


def to_columns(entity: EntityMapping, write: DynamicsWrite) -> dict[str, object]:
    """The columns of a write. A create carries its key and constants; a state carries both of its columns.

    A write with an operation id leaves the id in the operation stamp, where the mapping names one.
    """
    create = write.id is None
    columns: dict[str, object] = dict(entity.constants) if create else {}
    if write.new_id is not None:
        columns[entity.id] = write.new_id
    if create or write.restore_key:
        columns[entity.key.column] = write.key
    if entity.stamp is not None and write.operation:
        columns[entity.stamp] = write.operation
    if write.state is not None:
        state, status = write.state
        if state is not None:
            columns["statecode"] = state
        columns["statuscode"] = status
    for name, value in write.values.items():
        rule = entity.fields[name]
        if rule.type == "choice":
            columns[rule.column] = None if value is None else int(value)
            # Dataverse takes no state on create: a row is born in the state of its status.
            if rule.state_column is not None and not create:
                columns[rule.state_column] = rule.state_of(value)
        elif rule.type == "decimal":
            columns[rule.write_column or rule.column] = None if value is None else Decimal(value)
        else:
            columns[rule.write_column or rule.column] = value
    return columns
