"""The mapped content of the host's records, always read from the database.

An instance in memory may hold expressions, unsaved attributes or unrounded decimals; the stored row does not.
Records are read through the model's default manager: what it hides, the integration does not see.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from .entities import Entity
from .fields import to_wire, usable_text

# Below the parameter limit of every database that Django supports.
CHUNK = 500


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
    return manager.using(using).filter(**{f"{entity.key_attribute}__gt": ""})


def by_pk(entity: Entity, pks: Collection[Any], using: str) -> dict[str, Content]:
    """The records with these primary keys, by primary key as text."""
    found = (content for some in chunks(pks) for content in _read(entity, records(entity, using).filter(pk__in=some)))
    return {content.pk: content for content in found}


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


def _read(entity: Entity, queryset: models.QuerySet[Any]) -> Iterator[Content]:
    names = list(entity.fields)
    for pk, *values in queryset.order_by().values_list("pk", *entity.fields.values()):
        fields = {name: to_wire(value) for name, value in zip(names, values, strict=True)}
        yield Content(str(pk), fields[entity.key], fields)
