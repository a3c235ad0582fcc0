"""The changes of an organization in the order in which they were committed, and the numbers that they give to rows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from local.emulators.dataverse.changes import Caller, Change, Message
from local.emulators.dataverse.rows import Row, TableRows

_FIRST_VERSION = 1_000_000


class Journal:
    """Records changes at once, or those of a transaction together when it ends.

    Attributes:
        version: the last row version that was given.
        changes: what was committed.
        subscribers: called with each committed change, in commit order.
    """

    def __init__(self, clock: Callable[[], datetime], new_id: Callable[[], UUID]) -> None:
        self.version = _FIRST_VERSION
        self.changes: list[Change] = []
        self.subscribers: list[Callable[[Change], None]] = []
        self._clock = clock
        self._new_id = new_id
        self._undo: list[tuple[TableRows, UUID, Row | None]] | None = None
        self._uncommitted: list[Change] = []

    def record(
        self,
        rows: TableRows,
        *,
        message: Message,
        before: Row | None,
        after: Row | None,
        columns: frozenset[str],
        caller: Caller,
    ) -> None:
        """Note a change that the rows have gone through already."""
        row = after or before
        if row is None:
            raise RuntimeError("A change needs a row before or after it.")
        change = Change(
            self.version,
            message,
            rows.table.name,
            row.id,
            before,
            after,
            columns,
            caller,
            self._clock(),
            operation_id=self._new_id(),
        )
        if self._undo is None:
            self._publish(change)
        else:
            self._undo.append((rows, row.id, before))
            self._uncommitted.append(change)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make a block all or nothing: an exception undoes its changes and events. Blocks do not nest."""
        if self._undo is not None:
            raise RuntimeError("A transaction is already open: transactions do not nest.")
        undo: list[tuple[TableRows, UUID, Row | None]] = []
        self._undo = undo
        try:
            yield
        except BaseException:
            for rows, row_id, row in reversed(undo):
                rows.restore(row_id, row)
            self._uncommitted.clear()
            raise
        else:
            changes, self._uncommitted = self._uncommitted, []
            for change in changes:
                self._publish(change)
        finally:
            self._undo = None

    def take(self, change: Change) -> None:
        """Append a change that was committed elsewhere, and tell nobody."""
        self.version = max(self.version, change.version)
        self.changes.append(change)

    def go_back(self, version: int, changes: int) -> None:
        """Forget what came after so many changes; versions will repeat."""
        self.version = version
        del self.changes[changes:]

    def _publish(self, change: Change) -> None:
        self.changes.append(change)
        for subscriber in self.subscribers:
            subscriber(change)
