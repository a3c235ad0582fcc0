"""What the databases that Django supports do differently."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TypeVar

from django.db import InternalError, OperationalError, connections, transaction
from django.utils import timezone

_Result = TypeVar("_Result")


def database_now(using: str) -> datetime:
    """The database's clock where it can be asked, so that several hosts agree on the time; else this host's.

    MySQL tells the time in its own time zone, SQLite is on this host anyway.
    """
    if connections[using].vendor != "postgresql":
        return timezone.now()
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    moment: datetime = now
    return moment


@contextmanager
def bounded(using: str, *, lock: float, statement: float) -> Iterator[None]:
    """A transaction that waits at most `lock` seconds for a lock, and `statement` seconds for a statement.

    On PostgreSQL both; on MySQL and MariaDB the first, rounded up to whole seconds. SQLite has its own `timeout`.
    A transaction that the caller has opened keeps the bounds until its end.

    Raises:
        OperationalError: the time is over.
    """
    connection = connections[using]
    before = None
    if connection.vendor == "mysql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@SESSION.innodb_lock_wait_timeout")
            (before,) = cursor.fetchone()
            cursor.execute("SET SESSION innodb_lock_wait_timeout = %s", [max(1, round(lock + 0.49))])
    try:
        with transaction.atomic(using=using):
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute(
                        "SELECT set_config('lock_timeout', %s, true), set_config('statement_timeout', %s, true)",
                        [f"{int(lock * 1000)}ms", f"{int(statement * 1000)}ms"],
                    )
            yield
    finally:
        if before is not None and connection.connection is not None:
            with connection.cursor() as cursor:
                cursor.execute("SET SESSION innodb_lock_wait_timeout = %s", [before])


def after_deadlocks(work: Callable[[], _Result], attempts: int = 5) -> _Result:
    """Do the work in its own transaction, and again where the database undid it for the sake of another.

    Raises:
        OperationalError: any other failure, or a deadlock in each attempt.
    """
    try:
        return work()
    except OperationalError as error:
        if attempts == 1 or not _is_deadlock(error):
            raise
    return after_deadlocks(work, attempts - 1)


def _is_deadlock(error: OperationalError) -> bool:
    """Deadlocks, and transactions that cannot be serialised: 1213 of MySQL, 40001 and 40P01 of PostgreSQL."""
    return _state(error) in {"40001", "40P01"} or error.args[:1] == (1213,)


def _state(error: Exception) -> str:
    cause = error.__cause__
    return str(getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or "")


def is_outage(error: InternalError) -> bool:
    """Whether the database as a whole cannot work now, such as a replica that takes no writes.

    An aborted transaction (25P02) is the deed of whoever went on after an error in it.
    """
    return _state(error) != "25P02"
