"""The mapped content of the host's records, always read from the database.

An instance in memory may hold expressions, unsaved attributes or unrounded decimals; the stored row does not.
Records are read through the model's default manager: what it hides, the integration does not see.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError, models
from django.db.models.expressions import Combinable

from .entities import Entity
from .fields import UnusableValueError, to_wire, usable_text

logger = logging.getLogger("integracion_dynamics")

# Below the parameter limit of every database that Django supports.
CHUNK = 500
_COMPUTED = "integracion_dynamics_"
# What drivers and converters raise for a stored value that Python has no form for: `infinity`, MySQL's zero date.
_UNREADABLE = (DataError, ValueError, ArithmeticError, TypeError, AttributeError)


@dataclass(frozen=True)
class Content:
    """One record: the host's primary key as text, the business key, and the contract's fields."""

    pk: str
    key: str
    fields: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the fields in canonical JSON."""
        canonical = json.dumps(self.fields, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


def records(entity: Entity, using: str) -> models.QuerySet[Any]:
    """The records that have a business key."""
    manager = entity.model._default_manager  # noqa: SLF001 - Django's documented model API
    keyless = {entity.key_attribute: ""}
    return manager.using(using).filter(**{f"{entity.key_attribute}__isnull": False}).exclude(**keyless)


def by_pk(entity: Entity, pks: Collection[Any], using: str) -> dict[str, Content]:
    """The records with these primary keys, by primary key as text."""
    return {
        pk: Content(pk, fields[entity.key], fields)
        for some in chunks(pks)
        for pk, fields in _read(entity, some, using).items()
    }


def canonical_id(entity: Entity, text: str) -> str | None:
    """The id of the record that this text names, as the API shows it; None where the text can name no record.

    Ids are compared as text: "007" is not 7. A UUID may be written in any of its forms.
    """
    if not usable_text(text):
        return None
    try:
        pk = entity.model._meta.pk.to_python(text)  # noqa: SLF001 - Django's documented model API
    except (ValidationError, ValueError):
        return None
    if isinstance(pk, int) and not -(2**63) <= pk < 2**63:
        return None  # no database has such a number
    return str(pk) if str(pk) == text or isinstance(pk, uuid.UUID) else None


def pks_by_key(entity: Entity, keys: Collection[str], using: str) -> dict[str, str]:
    """The primary keys, as text, of the records with exactly these keys; what a lenient collation adds is left out."""
    attribute = entity.key_attribute
    found = {
        str(key): str(pk)
        for some in chunks(keys)
        for pk, key in records(entity, using)
        .order_by()
        .filter(**{f"{attribute}__in": some})
        .values_list("pk", attribute)
    }
    return {key: found[key] for key in keys if key in found}


def chunks(items: Collection[Any]) -> Iterator[list[Any]]:
    """The items in lists that one statement can carry."""
    iterator = iter(items)
    while some := list(islice(iterator, CHUNK)):
        yield some


def _read(entity: Entity, pks: list[Any], using: str) -> dict[str, dict[str, Any]]:
    """The fields of these records, by primary key; a value that cannot be read is left out: "not said"."""
    rows = records(entity, using).order_by().filter(pk__in=pks)
    try:
        return dict(_values(entity, rows, list(entity.fields)))
    except _UNREADABLE as error:
        if len(pks) > 1:
            # By halves, so that a bad record among many costs a few queries more and the others nothing.
            middle = len(pks) // 2
            return _read(entity, pks[:middle], using) | _read(entity, pks[middle:], using)
        logger.warning("%s %s holds a value that cannot be read: %s", entity.name, pks[0], error)
    found: dict[str, dict[str, Any]] = {}
    for name in entity.fields:
        with contextlib.suppress(*_UNREADABLE):
            for pk, fields in _values(entity, rows, [name]):
                found.setdefault(pk, {}).update(fields)
    return {pk: fields for pk, fields in found.items() if entity.key in fields}


def _values(entity: Entity, rows: models.QuerySet[Any], names: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Primary keys and values: one query, and a second where functions compute fields."""
    asked: dict[str, str] = {}
    expressions: dict[str, Combinable] = {}
    for name in names:
        source = entity.fields[name]
        if isinstance(source, str):
            asked[name] = source
        elif isinstance(source, Combinable):
            asked[name] = f"{_COMPUTED}{len(expressions)}"
            expressions[asked[name]] = source
    functions = {name: source for name in names if callable(source := entity.fields[name])}
    computed = {str(row.pk): _called(functions, row) for row in rows} if functions else {}
    rows = rows.annotate(**expressions)
    scales = {
        name: getattr(rows.query.annotations[asked[name]].output_field, "decimal_places", None)
        for name in asked
        if asked[name] in expressions
    }
    for pk, *stored in rows.values_list("pk", *asked.values()):
        values = dict(zip(asked, stored, strict=True)) | computed.get(str(pk), {})
        # A row that the functions did not see is one that changed between the two queries: the next read has it.
        if len(values) == len(names):
            yield str(pk), {name: _plain(entity, name, values[name], scales.get(name)) for name in names}


def _called(functions: dict[str, Callable[[Any], Any]], row: models.Model) -> dict[str, Any]:
    try:
        return {name: compute(row) for name, compute in functions.items()}
    except Exception as error:
        raise UnusableValueError(f"a function of FIELDS raised {type(error).__name__}: {error}") from error


def _plain(entity: Entity, name: str, value: Any, scale: int | None) -> Any:
    if scale is not None and isinstance(value, Decimal):
        value = value.quantize(Decimal(1).scaleb(-scale))  # SQLite computes without a scale
    plain = to_wire(value)
    if plain is None or isinstance(plain, str | int):
        return plain
    raise UnusableValueError(f"{entity.name}.{name} is a {type(value).__name__}, which the contract has no form for")
