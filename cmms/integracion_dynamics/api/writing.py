"""Conditional partial updates, and creates: by the host's models, in one transaction with the outbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import DataError, IntegrityError, models, transaction
from django.utils.http import parse_etags

from integracion_dynamics.content import canonical_id, pks_by_key
from integracion_dynamics.context import acting_as_integration
from integracion_dynamics.entities import Entity
from integracion_dynamics.fields import UnusableValueError, from_wire, to_wire
from integracion_dynamics.models import Registro
from integracion_dynamics.recording import note_operation, pk_text

from .errors import ApiError, invalid_field, not_found
from .records import Record, database, find_one, tombstone

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
        raise ApiError(
            428, "falta_if_match", "Send If-Match with the 'etag' of the record that the change is based on."
        )
    using = database(entity)
    with transaction.atomic(using=using), acting_as_integration():
        instance = _locked(entity, text, using)
        record = find_one(entity, text, lock=True)
        if instance is None or record is None:
            raise not_found(f"No record has the id {text!r}: it may have been deleted.")
        if "*" not in (etags := parse_etags(if_match)) and record.etag not in etags:
            message = "The record was changed since it was read: decide again from 'registro' and its etag."
            raise ApiError(412, "version_distinta", message, registro=record.as_json(), headers={"ETag": record.etag})
        values = _values(entity, fields)
        if values.get(entity.key, record.content.key) != record.content.key:
            raise invalid_field(entity.key, "a key is never changed through this API: rename the record in the CMMS.")
        touched = {name: value for name, value in values.items() if to_wire(value) != record.content.fields[name]}
        if touched:
            _assign(entity, instance, touched)
            attributes = {entity.fields[name] for name in touched}
            _validate(entity, instance, exclude={field.name for field in _columns(entity)} - attributes)
            stamps = {field.name for field in _columns(entity) if getattr(field, "auto_now", False)}
            _save(entity, instance, using, update_fields=sorted(attributes | stamps))
            if operation:
                note_operation(entity, record.content.pk, operation, using)
        stored = find_one(entity, text, lock=True)
    if stored is None:
        raise not_found(f"The record {text!r} disappeared while it was written: the CMMS hides what it now holds.")
    return stored


def create(entity: Entity, fields: Mapping[str, Any], operation: str = "") -> Record:
    """Create a record; columns that are not given take the model's defaults. `operation` is as for `update`.

    The create happens once for each `operation`, whatever became of the record and its key since.

    Returns:
        The record as stored.

    Raises:
        ApiError: 409 `ya_aplicada` with the record that this operation created before, 409 `ya_existe` with the record
            that holds the key; 422 naming the field.
    """
    values = _values(entity, fields)
    key = values.get(entity.key)
    if not key:
        raise invalid_field(entity.key, "the business key is required.")
    try:
        with transaction.atomic(using=database(entity)), acting_as_integration():
            _refuse_done(entity, key, operation)
            return _insert(entity, values, operation)
    except ApiError as error:
        if error.status == _REFUSED:
            # A request that was running when this one looked may have been first: then that is the reason.
            _refuse_done(entity, key, operation)
        raise


def _insert(entity: Entity, values: Mapping[str, Any], operation: str) -> Record:
    using = database(entity)
    instance = entity.model()
    _assign(entity, instance, values)
    _validate(entity, instance, exclude=set())
    _save(entity, instance, using, force_insert=True)
    pk = pk_text(entity.model, instance.pk)
    if operation:
        try:
            note_operation(entity, pk, operation, using, created=True)
        except IntegrityError:
            raise _refused_by_database() from None
    stored = find_one(entity, pk)
    if stored is None:
        raise invalid_field(entity.key, "the CMMS hides what was to be stored, or stored it without a key.")
    return stored


def _refuse_done(entity: Entity, key: str, operation: str) -> None:
    """Refuse a create that was done before, or whose key a record holds."""
    memories = Registro.objects.using(database(entity)).filter(entidad=entity.name, creado_por=operation)
    memory = memories.first() if operation else None
    if memory is not None:
        record = find_one(entity, memory.objeto)
        shown = record.as_json() if record else tombstone(memory)
        headers = {"ETag": record.etag} if record else {}
        message = "This Operation-Id created 'registro' before: nothing more was done."
        raise ApiError(409, "ya_aplicada", message, registro=shown, headers=headers)
    holder = pks_by_key(entity, [key], database(entity)).get(key)
    record = find_one(entity, holder) if holder else None
    if record is not None:
        message = "A record with this key exists: update 'registro' with its etag instead."
        raise ApiError(409, "ya_existe", message, registro=record.as_json(), headers={"ETag": record.etag})


def _columns(entity: Entity) -> list[models.Field[Any, Any]]:
    return list(entity.model._meta.concrete_fields)  # noqa: SLF001 - Django's documented model API


def _locked(entity: Entity, text: str, using: str) -> models.Model | None:
    """The host's row, locked before its memory: the order in which a save locks them.

    Not by the model's managers: PostgreSQL locks no row of a query that aggregates or joins loosely.
    """
    pk = canonical_id(entity, text)
    if pk is None:
        return None
    return models.QuerySet(entity.model, using=using).select_for_update().filter(pk=pk).first()


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
        raise _refused_by_database() from None


def _refused_by_database() -> ApiError:
    message = "The CMMS's database refused the record: a constraint or the range of a column was violated."
    return ApiError(422, "rechazado_por_la_base", message)


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
