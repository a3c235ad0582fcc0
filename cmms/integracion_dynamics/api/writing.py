"""Conditional partial updates, and creates: by the host's models, in one transaction with the outbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.http import parse_etags
from django.utils.translation import gettext as _

from integracion_dynamics.content import canonical_id, pks_by_key
from integracion_dynamics.entities import Entity
from integracion_dynamics.fields import to_wire
from integracion_dynamics.memory import note_operation, pk_text
from integracion_dynamics.models import Registro

from .committing import committed
from .errors import ApiError, invalid_field, not_found
from .host import refusals
from .records import Record, database, find_one, tombstone
from .values import assign, read_values

_REFUSED = 422


def update(entity: Entity, text: str, fields: Mapping[str, Any], if_match: str, operation: str = "") -> Record:
    """Write these fields and no others if the record still has the ETag that the caller saw.

    Args:
        entity: the entity of the record.
        text: the record's id.
        fields: values in the contract's form, by contract name.
        if_match: the header, one or more ETags or `*`.
        operation: the caller's name for this write, by which the record shows later that it took it.

    Returns:
        The record as stored.

    Raises:
        ApiError: 404, 412 with the record as it stands, 422 naming the field, 428 without `If-Match`.
    """
    if not if_match.strip():
        message = _("Send If-Match with the 'etag' of the record that the change is based on.")
        raise ApiError(428, "falta_if_match", message)
    return committed(entity, lambda: _update(entity, text, fields, if_match, operation))


def create(entity: Entity, fields: Mapping[str, Any], operation: str = "") -> Record:
    """Create a record; columns that are not given take DEFAULTS, else the model's own defaults.

    The create happens once for each `operation`, whatever became of the record and its key since.

    Returns:
        The record as stored.

    Raises:
        ApiError: 409 `ya_aplicada` with the record that this operation created before, 409 `ya_existe` with the record
            that holds the key; 422 naming the field.
    """
    values = read_values(entity, fields)
    key = values.get(entity.key)
    if not key:
        raise invalid_field(entity.key, _("the business key is required."))

    def write() -> Record:
        _refuse_done(entity, key, operation)
        return _insert(entity, values, operation)

    try:
        return committed(entity, write)
    except ApiError as error:
        if error.status == _REFUSED:
            # A request that was running when this one looked may have been first: then that is the reason.
            _refuse_done(entity, key, operation)
        raise


def _update(entity: Entity, text: str, fields: Mapping[str, Any], if_match: str, operation: str) -> Record:
    instance = _locked(entity, text)
    record = find_one(entity, text, lock=True)
    if instance is None or record is None:
        raise not_found(_("No record has the id %(id)r: it may have been deleted.") % {"id": text})
    if "*" not in (etags := parse_etags(if_match)) and record.etag not in etags:
        message = _("The record was changed since it was read: decide again from 'registro' and its etag.")
        raise ApiError(412, "version_distinta", message, registro=record.as_json(), headers={"ETag": record.etag})
    touched = _touched(entity, record, fields)
    if touched:
        _write(entity, instance, touched)
        if operation:
            note_operation(entity, record.content.pk, operation, database(entity))
    stored = find_one(entity, text, lock=True)
    if stored is None:
        message = _("The CMMS hides the record %(id)r once it holds these values: nothing was written.")
        raise ApiError(422, "registro_invalido", message % {"id": text})
    return stored


def _touched(entity: Entity, record: Record, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The values that differ from what is stored, by contract name."""
    stored = record.content.fields
    # A computed field may be said where it says what it holds anyway.
    computed = {name for name in fields if name in stored and name not in entity.columns}
    said = {name: value for name, value in fields.items() if name not in computed or value != stored[name]}
    values = read_values(entity, said)
    if values.get(entity.key, record.content.key) != record.content.key:
        message = _("a key is never changed through this API: rename the record in the CMMS.")
        raise invalid_field(entity.key, message)
    return {name: value for name, value in values.items() if name not in stored or to_wire(value) != stored[name]}


def _write(entity: Entity, instance: models.Model, touched: Mapping[str, Any]) -> None:
    columns = list(entity.model._meta.concrete_fields)  # noqa: SLF001 - Django's documented model API
    attributes = {entity.columns[name] for name in touched}
    before = {attribute: getattr(instance, attribute) for attribute in attributes}
    untouched = {field.name for field in columns} - attributes
    with refusals(entity):
        assign(entity, instance, touched)
        try:
            instance.full_clean(exclude=untouched)
        except ValidationError as error:
            if _concerns(error, attributes) or _faults(instance, before, untouched) != _messages(error):
                raise
            # `clean()` refuses what the record held before in columns that this write does not name.
            assign(entity, instance, touched)
        stamps = {field.name for field in columns if getattr(field, "auto_now", False)}
        instance.save(using=database(entity), update_fields=sorted(attributes | stamps))


def _concerns(error: ValidationError, attributes: set[str]) -> bool:
    return hasattr(error, "error_dict") and bool(attributes & error.message_dict.keys())


def _faults(instance: models.Model, before: Mapping[str, Any], untouched: set[str]) -> dict[str, list[str]]:
    """What is wrong with the record as it was before the write."""
    for attribute, value in before.items():
        setattr(instance, attribute, value)
    try:
        instance.full_clean(exclude=untouched)
    except ValidationError as error:
        return _messages(error)
    return {}


def _messages(error: ValidationError) -> dict[str, list[str]]:
    return error.message_dict if hasattr(error, "error_dict") else {"": error.messages}


def _insert(entity: Entity, values: Mapping[str, Any], operation: str) -> Record:
    using = database(entity)
    with refusals(entity):
        instance = entity.model()
        assign(entity, instance, values)
        given = {entity.columns[name] for name in values}
        for attribute, default in entity.defaults.items():
            if attribute not in given:
                setattr(instance, attribute, default(instance) if callable(default) else default)
        instance.full_clean()
        instance.save(using=using, force_insert=True)
        pk = pk_text(entity.model, instance.pk)
        if operation:
            note_operation(entity, pk, operation, using, created=True)
    stored = find_one(entity, pk)
    if stored is None:
        raise invalid_field(entity.key, _("the CMMS hides what was to be stored, or stored it without a key."))
    return stored


def _refuse_done(entity: Entity, key: str, operation: str) -> None:
    """Refuse a create that was done before, or whose key a record holds."""
    # The holder first: where it is the one that this operation made in between, the operation shows by then as well.
    holder = pks_by_key(entity, [key], database(entity)).get(key)
    memories = Registro.objects.using(database(entity)).filter(entidad=entity.name, creado_por=operation)
    memory = memories.first() if operation else None
    if memory is not None:
        record = find_one(entity, memory.objeto)
        shown = record.as_json() if record else tombstone(memory)
        headers = {"ETag": record.etag} if record else {}
        message = _("This Operation-Id created 'registro' before: nothing more was done.")
        raise ApiError(409, "ya_aplicada", message, registro=shown, headers=headers)
    record = find_one(entity, holder) if holder else None
    if record is not None:
        message = _("A record with this key exists: update 'registro' with its etag instead.")
        raise ApiError(409, "ya_existe", message, registro=record.as_json(), headers={"ETag": record.etag})


def _locked(entity: Entity, text: str) -> models.Model | None:
    """The host's row, locked before its memory: the order in which a save locks them.

    Not by the model's managers: PostgreSQL locks no row of a query that aggregates or joins loosely.
    """
    pk = canonical_id(entity, text)
    if pk is None:
        return None
    rows: models.QuerySet[models.Model] = models.QuerySet(entity.model, using=database(entity))
    return rows.select_for_update().filter(pk=pk).first()
