"""For django-import-export: resources with `use_bulk = True` send no signals, so their bulk steps announce here.

Example::

    class ActivoResource(AnnouncedResource, resources.ModelResource):
        class Meta:
            model = Activo
            use_bulk = True
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db import models, router, transaction

from .recording import registrar_cambios

# The package has no types, and need not be there.
_Base: Any = object


class AnnouncedResource(_Base):  # type: ignore[misc]
    """Put it before `ModelResource` among the bases; a dry run and a step that failed announce nothing."""

    _step_failed = False

    def bulk_create(self, *args: Any, **kwargs: Any) -> None:
        """Create, and announce what was created, in one transaction."""
        self._announced(super().bulk_create, self.create_instances, args, kwargs)

    def bulk_update(self, *args: Any, **kwargs: Any) -> None:
        """Update, and announce what was changed, in one transaction."""
        self._announced(super().bulk_update, self.update_instances, args, kwargs)

    def handle_import_error(self, *args: Any, **kwargs: Any) -> None:
        """Report an error as the resource does; its step is undone as a whole."""
        self._step_failed = True
        super().handle_import_error(*args, **kwargs)

    def _announced(self, step: Any, instances: Collection[models.Model], args: Any, kwargs: Any) -> None:
        # The step empties its list, and reports an error instead of raising it.
        kept = list(instances)
        using = router.db_for_write(self._meta.model)
        self._step_failed = False
        with transaction.atomic(using=using):
            step(*args, **kwargs)
            if self._step_failed:
                transaction.set_rollback(True, using=using)
            elif kept:
                registrar_cambios(kept, using=using)
