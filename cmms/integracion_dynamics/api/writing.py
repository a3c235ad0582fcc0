"""Conditional partial updates, and creates: by the host's models, in one transaction with the outbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import DataError, IntegrityError, models, transaction
from django.utils.http import parse_etags

from integracion_dynamics.content import records
from integracion_dynamics.context import acting_as_integration
from integracion_dynamics.entities import Entity
from integracion_dynamics.fields import UnusableValueError, from_wire, to_wire, usable_text
from integracion_dynamics.recording import note_operation, pk_text

from .errors import ApiError, invalid_field, not_found
from .records import Record, database, find_one, memories


def update(entity: Entity, key: str, fields: Mapping[str, Any], if_match: str, operation: str = "") -> Record:
    """Write these fields and no others if the record still has the ETag that the caller saw.

    `operation` is the caller's name for this write, by which the record shows later that it took it.

    Raises:
        ApiError: 404, 412 with the record as it stands, 422 naming the field, 428 without `If-Match`.
    """
    if not if_match.strip():
        raise ApiError(
            428, "falta_if_match", "Send If-Match with the 'etag' of the record that the change is based on."
        )
    using = database(entity)
    with transaction.atomic(using=using), acting_as_integration():
        instance = _locked(entity, key, using)
        record = find_one(entity, key, lock=True)
        if instance is None or record is None:
            raise not_found(f"No record has the key {key!r}: it may have been deleted or renamed.")
        if "*" not in (etags := parse_etags(if_match)) and record.etag not in etags:
            message = "The record was changed since it was read: decide again from 'registro' and its etag."
            raise ApiError(412, "version_distinta", message, registro=record.as_json(), headers={"ETag": record.etag})
        values = _values(entity, fields)
        if values.get(entity.key, key) != key:
            raise invalid_field(entity.key, "a key is never changed through this API: rename the record in the CMMS.")
        touched = {name: value for name, value in values.items() if to_wire(value) != record.content.fields[name]}
        if touched:
            _assign(entity, instance, touched)
            attributes = {entity.fields[name] for name in touched}
            _validate(entity, instance, exclude={field.name for field in _columns(entity)} - attributes)
            stamps = {field.name for field in _columns(entity) if getattr(field, "auto_now", False)}
            _save(entity, instance, using, update_fields=sorted(attributes | stamps))
            _note(entity, key, instance, operation, using)
        stored = find_one(entity, key, lock=True)
    if stored is None:
        raise not_found(f"The record {key!r} disappeared while it was written: the CMMS hides what it now holds.")
    return stored


def create(entity: Entity, fields: Mapping[str, Any], operation: str = "") -> Record:
    """Create a record; columns that are not given take the model's defaults. `operation` is as for `update`.

    Raises:
        ApiError: 409 with the record that holds the key, or where one with this key was deleted or renamed; 422 naming
            the field.
    """
    values = _values(entity, fields)
    key = values.get(entity.key)
    if not key:
        raise invalid_field(entity.key, "the business key is required.")
    using = database(entity)
    try:
        with transaction.atomic(using=using), acting_as_integration():
            _refuse_taken(entity, key)
            instance = entity.model()
            _assign(entity, instance, values)
            _validate(entity, instance, exclude=set())
            _save(entity, instance, using, force_insert=True)
            _note(entity, key, instance, operation, using)
            stored = find_one(entity, key)
    except ApiError as error:
        if error.codigo == "rechazado_por_la_base":
            _refuse_taken(entity, key)  # another request may have been first
        raise
    if stored is None:
        raise invalid_field(entity.key, "the CMMS stored the record under another key, or hides it.")
    return stored


def _note(entity: Entity, key: str, instance: models.Model, operation: str, using: str) -> None:
    if operation:
        note_operation(entity, key, pk_text(entity.model, instance.pk), operation, using)


def _refuse_taken(entity: Entity, key: str) -> None:
    if record := find_one(entity, key):
        message = "A record with this key exists: update 'registro' with its etag instead."
        raise ApiError(409, "ya_existe", message, registro=record.as_json(), headers={"ETag": record.etag})
    memory = memories(entity, [key], lock=True).get(key) if usable_text(key) else None
    if memory is not None and memory.borrado:
        # The request may have been on its way since before: what a person deleted never comes back by itself.
        raise ApiError(
            409, "fue_borrado", "A record with this key was deleted or renamed: only a person uses it again."
        )


def _columns(entity: Entity) -> list[models.Field[Any, Any]]:
    return list(entity.model._meta.concrete_fields)  # noqa: SLF001 - Django's documented model API


def _locked(entity: Entity, key: str, using: str) -> models.Model | None:
    """The host's row first, then the memory: the order in which a save locks them."""
    if not usable_text(key):
        return None
    rows = records(entity, using).order_by().select_related(None).filter(**{entity.key_attribute: key})
    found: list[models.Model] = list(rows.select_for_update())
    return next((one for one in found if getattr(one, entity.key_attribute) == key), None)


def _values(entity: Entity, fields: Mapping[str, Any]) -> dict[str, Any]:
    values = {}
    for name, value in fields.items():
        if name not in entity.fields:
            known = ", ".join(entity.fields)
            raise invalid_field(_printable(name), f"is not a field of {entity.name}; known are: {known}.")
        try:
            values[name] = from_wire(entity.field(name), value)
        except UnusableValueError as error:
            raise invalid_field(name, f"{error}.") from None
    return values


def _assign(entity: Entity, instance: models.Model, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(instance, entity.fields[name], value)


def _validate(entity: Entity, instance: models.Model, exclude: set[str]) -> None:
    try:
        instance.full_clean(exclude=exclude)
    except ValidationError as error:
        raise _refused(entity, error) from None


def _save(entity: Entity, instance: models.Model, using: str, **options: Any) -> None:
    try:
        with transaction.atomic(using=using):
            instance.save(using=using, **options)
    except ValidationError as error:
        raise _refused(entity, error) from None
    except (IntegrityError, DataError):
        message = "The CMMS's database refused the record: a constraint or the range of a column was violated."
        raise ApiError(422, "rechazado_por_la_base", message) from None


def _refused(entity: Entity, error: ValidationError) -> ApiError:
    """The first refused field, by its contract name where it has one."""
    contract_names = {attribute: name for name, attribute in entity.fields.items()}
    by_attribute = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
    attribute, messages = next(iter(by_attribute.items()))
    if attribute == NON_FIELD_ERRORS:
        return ApiError(422, "registro_invalido", " ".join(messages))
    return invalid_field(contract_names.get(attribute, attribute), " ".join(messages))


def _printable(name: str) -> str:
    return name.encode("ascii", "backslashreplace").decode()[:100]
