"""The transaction of one write, and its result."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, InternalError, OperationalError
from django.db.transaction import on_commit

from integracion_dynamics.config import current
from integracion_dynamics.context import acting_as_integration
from integracion_dynamics.database import bounded
from integracion_dynamics.entities import Entity

from .host import refused_by_the_database
from .records import Record, database

logger = logging.getLogger("integracion_dynamics.api")


class Write:
    """A write's result, which stands once it is committed, whatever the host's `on_commit` callbacks do then."""

    def __init__(self) -> None:
        self.record: Record | None = None
        self._committed = False

    def result(self) -> Record:
        """The record as stored."""
        if self.record is None:
            raise RuntimeError("a write ended without a record")
        return self.record

    @contextmanager
    def transaction(self, entity: Entity) -> Iterator[None]:
        """The write's transaction, with bounds on what it waits for."""
        using, limits = database(entity), current()
        try:
            with (
                bounded(using, lock=limits.lock_timeout, statement=limits.statement_timeout),
                acting_as_integration(),
            ):
                # The first callback of the transaction: those of the host come after it.
                on_commit(self._commit, using=using)
                yield
        except Exception as error:
            if self._committed:
                logger.exception("A record of %s was written; a callback after the commit failed.", entity.name)
            elif isinstance(error, DatabaseError) and not isinstance(error, OperationalError | InternalError):
                raise refused_by_the_database(entity, error) from error  # a constraint that is checked at the commit
            else:
                raise

    def _commit(self) -> None:
        self._committed = True
