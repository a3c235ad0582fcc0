"""Announcing each save and delete of a configured model, in its own transaction.

Django sends `post_save` after the transaction of a plain `save()` has ended; a process that dies in between
would lose the announcement. `save_base` of the configured models therefore opens a transaction where the
caller has none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from django.apps import apps
from django.db import models, router, transaction
from django.db.models.signals import post_delete, post_save, pre_delete

from .config import entities
from .content import chunks
from .context import is_unannounced
from .entities import Entity, announced_by
from .memory import pk_text
from .models import Mensaje, Registro
from .recording import announce, ids_of_instances

_ATTRIBUTE = "_integracion_dynamics_borrado"
_WRAPPED = "integracion_dynamics_atomic"
_UID = "integracion_dynamics"


def connect() -> None:
    """Connect the receivers and make the saves of the configured models atomic.

    Raises:
        ImproperlyConfigured: ENTITIES cannot be read, so that changes would pass without a message.
    """
    configured = entities().values()
    for model in apps.get_models():
        # By sender, because Django deletes the rows of a model without receivers in one statement.
        if any(announced_by(entity, model) for entity in configured):
            make_saves_atomic(model)
            post_save.connect(_saved, sender=model, dispatch_uid=_UID)
            pre_delete.connect(_deleting, sender=model, dispatch_uid=_UID)
            post_delete.connect(_deleted, sender=model, dispatch_uid=_UID)


def make_saves_atomic(model: type[models.Model]) -> None:
    """Have `save()` and its signals share one transaction where the caller has opened none."""
    original = model.save_base
    if hasattr(original, _WRAPPED):
        return

    @wraps(original)
    def save_base(self: models.Model, *args: Any, **kwargs: Any) -> None:
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        if transaction.get_connection(using).in_atomic_block:
            original(self, *args, **kwargs)
        else:
            with transaction.atomic(using=using):
                original(self, *args, **kwargs)

    setattr(save_base, _WRAPPED, True)
    model.save_base = save_base  # type: ignore[method-assign]


def _concerned(sender: type[models.Model], using: str) -> list[Entity]:
    """The entities that a change in this database may concern: none in one that the app's tables are kept out of."""
    if is_unannounced() or not router.allow_migrate_model(using, Mensaje):
        return []
    return [entity for entity in entities().values() if announced_by(entity, sender)]


def _saved(*, sender: type[models.Model], instance: models.Model, using: str, raw: bool = False, **_: Any) -> None:
    # A fixture brings rows of any tables, perhaps this app's own: Django asks receivers to touch nothing then.
    if raw:
        return
    for entity in _concerned(sender, using):
        for pks in chunks(ids_of_instances(entity, [instance], using)):
            announce(entity, pks, using)


@dataclass
class _Deletion:
    """One entity's rows of one class in one `delete()`: all are announced together, when the first is gone.

    Django tells of each row before it deletes any, and again after it has deleted all of a model. Should a row of
    `last_keys` not be gone after all, it is announced as what it is.
    """

    last_keys: dict[Any, str] = field(default_factory=dict)
    announced: set[Any] = field(default_factory=set)


def _deleting(*, sender: type[models.Model], instance: models.Model, using: str, origin: Any = None, **_: Any) -> None:
    for entity in _concerned(sender, using):
        # A child's or parent's row is deleted with a signal of its own.
        if sender._meta.concrete_model is entity.table:  # noqa: SLF001 - Django's documented model API
            deletion = _deletion(instance if origin is None else origin, entity, sender)
            deletion.announced.discard(instance.pk)
            deletion.last_keys[instance.pk] = _last_key(entity, instance, using, fresh=origin is not instance)


def _deleted(*, sender: type[models.Model], instance: models.Model, using: str, origin: Any = None, **_: Any) -> None:
    for entity in _concerned(sender, using):
        if sender._meta.concrete_model is entity.table:  # noqa: SLF001 - Django's documented model API
            deletion = _deletion(instance if origin is None else origin, entity, sender)
            if instance.pk not in deletion.announced:
                deletion.last_keys.setdefault(instance.pk, "")
                _announce(deletion, entity, using)
            deletion.announced.discard(instance.pk)


def _announce(deletion: _Deletion, entity: Entity, using: str) -> None:
    for some in chunks(deletion.last_keys):
        keys = {pk_text(entity.model, pk): deletion.last_keys[pk] for pk in some}
        announce(entity, some, using, {text: key for text, key in keys.items() if key})
    deletion.announced.update(deletion.last_keys)
    deletion.last_keys.clear()


def _last_key(entity: Entity, instance: models.Model, using: str, *, fresh: bool) -> str:
    """The stored key of a record that was never announced: afterwards nothing tells which one it was."""
    if fresh and entity.key_attribute in instance.__dict__:
        return str(instance.__dict__[entity.key_attribute] or "")
    if Registro.objects.using(using).filter(entidad=entity.name, objeto=pk_text(entity.model, instance.pk)).exists():
        return ""
    stored: models.QuerySet[Any] = models.QuerySet(entity.model, using=using).filter(pk=instance.pk)
    return str(stored.values_list(entity.key_attribute, flat=True).first() or "")


def _deletion(origin: Any, entity: Entity, sender: type[models.Model]) -> _Deletion:
    """Kept with the queryset or instance that `delete()` was called on, so that it ends with it."""
    deletions: dict[tuple[str, str], _Deletion] = origin.__dict__.setdefault(_ATTRIBUTE, {})
    return deletions.setdefault((entity.name, sender._meta.label), _Deletion())  # noqa: SLF001 - Django's documented model API
