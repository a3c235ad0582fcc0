"""Announcing each save and delete of a configured model, in its own transaction.

Django sends `post_save` after the transaction of a plain `save()` has ended; a process that dies in between
would lose the announcement. `save_base` of the configured models therefore opens a transaction where the
caller has none.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import models, router, transaction
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save

from .config import current
from .models import Registro
from .recording import announce, pk_text

_ATTRIBUTE = "_integracion_dynamics_clave"
_WRAPPED = "integracion_dynamics_atomic"


def connect() -> None:
    """Connect the receivers and make the saves of the configured models atomic."""
    try:
        configured = tuple(entity.model for entity in current().entities.values())
    except ImproperlyConfigured:
        # The system checks report it, but a web server runs none: then the first save of any model says it.
        pre_save.connect(_refuse, dispatch_uid="integracion_dynamics")
        return
    for model in apps.get_models():
        # By sender, because Django deletes the rows of a model without receivers in one statement.
        if issubclass(model, configured):
            make_saves_atomic(model)
            pre_delete.connect(_before_delete, sender=model, dispatch_uid="integracion_dynamics")
            for signal in (post_save, post_delete):
                signal.connect(_after, sender=model, dispatch_uid="integracion_dynamics")


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


def _refuse(**_: Any) -> None:
    current()


def _before_delete(*, sender: type[models.Model], instance: models.Model, using: str, **_: Any) -> None:
    """Note the stored key of a record that was never announced: afterwards nothing tells which one it was."""
    for entity in current().entities_of(sender):
        if not Registro.objects.using(using).filter(entidad=entity.name, objeto=pk_text(sender, instance.pk)).exists():
            stored = entity.model._base_manager.using(using).filter(pk=instance.pk)  # noqa: SLF001 - Django's documented model API
            key = stored.values_list(entity.key_attribute, flat=True).first()
            if key:
                _last_keys(instance)[entity.name] = str(key)


def _after(*, sender: type[models.Model], instance: models.Model, using: str, **_: Any) -> None:
    for entity in current().entities_of(sender):
        last = _last_keys(instance).pop(entity.name, None)
        pk = pk_text(sender, instance.pk)
        announce(entity, [pk], using, {pk: last} if last else None)


def _last_keys(instance: models.Model) -> dict[str, str]:
    keys: dict[str, str] = instance.__dict__.setdefault(_ATTRIBUTE, {})
    return keys
