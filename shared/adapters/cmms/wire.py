"""Records as the CMMS's API shows them. One that is not of the API's form costs the others nothing."""

from collections.abc import Callable, Sequence
from typing import Any

from shared.adapters.http.client import usable_etag
from shared.domain.blocked import digest
from shared.domain.model import BadValue, CmmsRecord, Value, Version
from shared.domain.schema.mapping import EntityMapping
from shared.domain.schema.values import parse_instant, shape, shown_raw
from shared.errors import MappingError, Unavailable


def results_of(entity: EntityMapping, answer: dict[str, Any]) -> list[Any]:
    """The raw records of a list.

    Raises:
        Unavailable: It is none.
    """
    results = answer.get("resultados")
    if not isinstance(results, list):
        raise Unavailable(f"The CMMS's list of {entity.cmms} has no resultados: check CMMS_BASE_URL.")
    return results


def all_of(entity: EntityMapping, results: Sequence[Any]) -> list[CmmsRecord]:
    """The records of an answer.

    Raises:
        Unavailable: One of them cannot be read.
    """
    try:
        return [_record(entity, raw) for raw in results]
    except MappingError as error:
        raise Unavailable(error.message) from error


def readable(entity: EntityMapping, results: Sequence[Any], unreadable: Callable[[str, str], None]) -> list[CmmsRecord]:
    """The records of an answer that can be read; the others are named by id and key.

    Raises:
        Unavailable: One has no id either.
    """
    found: list[CmmsRecord] = []
    for raw in results:
        try:
            found.append(_record(entity, raw))
        except MappingError as error:
            record_id = raw.get("id") if isinstance(raw, dict) else None
            if not isinstance(record_id, str):
                raise Unavailable(error.message) from error
            unreadable(record_id, _key_of(raw))
    return found


def each(entity: EntityMapping, raw: Any, name: str) -> tuple[str, CmmsRecord | MappingError]:
    """A record, or why it cannot be read, by its id or key, as `name` says.

    Raises:
        Unavailable: It lacks that name, which spoils the whole answer.
    """
    found: CmmsRecord | MappingError
    try:
        found = _record(entity, raw)
    except MappingError as error:
        found = error
    value = raw.get(name) if isinstance(raw, dict) else None
    if not isinstance(value, str) or not value:
        raise Unavailable(f"A record of the CMMS's {entity.cmms} came without a usable {name}.")
    return value, found


def _record(entity: EntityMapping, raw: Any) -> CmmsRecord:
    """A record or tombstone as the API shows it. A field's own bad value is among its errors, and costs no other field.

    Raises:
        MappingError: The record is not of the API's form; names it, and what of it is wrong.
    """
    member = "id"
    try:
        record_id = text_of(raw["id"])
        member = "clave"
        key = text_of(raw["clave"])
        member = "version"
        version = Version(parse_instant(raw["version"])) if raw.get("version") else None
        if raw.get("borrado"):
            return CmmsRecord(key, "", {}, id=record_id, version=version, deleted=True)
        member = "campos"
        values, errors = _values(entity, raw["campos"])
        member = "operaciones"
        taken = raw.get("operaciones")
        operations = tuple(map(text_of, taken)) if isinstance(taken, list) else None
        member = "revision"
        revision = _count(raw.get("revision"))
        member = "etag"
        etag = usable_etag(raw["etag"])
    except (KeyError, TypeError, ValueError) as error:
        name = f"The record {key[:100]}" if (key := _key_of(raw)) else "A record without a usable key"
        why = "is missing" if isinstance(error, KeyError) else str(error)
        raise MappingError(
            f"{name} of the CMMS's {entity.cmms} cannot be read, as its {member} is not of the API's form: {why}."
            " Correct that in the CMMS.",
            field=member,
        ) from error
    by_us = raw.get("modificado_por") == "integracion"
    return CmmsRecord(
        key, etag, values, errors, id=record_id, version=version, operations=operations, revision=revision, by_us=by_us
    )


def _values(entity: EntityMapping, fields: Any) -> tuple[dict[str, Value], dict[str, BadValue]]:
    """The values of mapped fields in their normal form, and what their rules refuse."""
    if not isinstance(fields, dict):
        raise TypeError(f"is {shape(fields)}, not an object")
    values: dict[str, Value] = {}
    errors: dict[str, BadValue] = {}
    for name, value in fields.items():
        rule = entity.fields.get(entity.names.get(name, ""))
        if rule is None:
            continue
        try:
            values[rule.name] = rule.from_cmms(value)
        except MappingError as error:
            errors[rule.name] = BadValue(error, digest(value), shown_raw(value))
    return values, errors


def _key_of(raw: Any) -> str:
    """The key of a record of any form, "" where it has none."""
    key = raw.get("clave") if isinstance(raw, dict) else None
    return key if isinstance(key, str) else ""


def _count(raw: object) -> int | None:
    if raw is not None and (not isinstance(raw, int) or isinstance(raw, bool) or raw < 0):
        raise TypeError(f"is {shape(raw)}, not a whole number from 0 on")
    return raw


def text_of(raw: object) -> str:
    """What must be text.

    Raises:
        TypeError: It is not.
    """
    if not isinstance(raw, str):
        raise TypeError(f"is {shape(raw)}, not text")
    return raw
