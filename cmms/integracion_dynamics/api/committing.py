"""The transaction of one write, and its result."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from django.db import DatabaseError, InternalError, OperationalError
from django.db.transaction import on_commit

from integracion_dynamics.config import current
from integracion_dynamics.context import acting_as_integration
from integracion_dynamics.database import after_deadlocks, bounded
from integracion_dynamics.entities import Entity

from .host import refused_by_the_database
from .records import Record, database

logger = logging.getLogger("integracion_dynamics.api")


def committed(entity: Entity, write: Callable[[], Record]) -> Record:
    """Do a write in a transaction with bounds on what it waits for; again where the database undid it by a deadlock.

    Returns:
        The record as `write` returned it, once that is committed, whatever the host's `on_commit` callbacks do then.

    Raises:
        ApiError: 422, a constraint that the database checks at the commit; and what `write` raises.
    """
    return after_deadlocks(lambda: _attempt(entity, write), attempts=3)


@dataclass
class _Attempt:
    record: Record | None = None
    stands: bool = False

    def commit(self) -> None:
        self.stands = True


def _attempt(entity: Entity, write: Callable[[], Record]) -> Record:
    using, limits, attempt = database(entity), current(), _Attempt()
    try:
        with (
            bounded(using, lock=limits.lock_timeout, statement=limits.statement_timeout),
            acting_as_integration(),
        ):
            # The first callback of the transaction: those of the host come after it.
            on_commit(attempt.commit, using=using)
            attempt.record = record = write()
    except Exception as error:
        if attempt.stands and attempt.record is not None:
            logger.exception("A record of %s was written; a callback after the commit failed.", entity.name)
            return attempt.record
        if isinstance(error, DatabaseError) and not isinstance(error, OperationalError | InternalError):
            raise refused_by_the_database(entity, error) from error
        raise
    return record
