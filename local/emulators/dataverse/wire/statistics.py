"""Counts of what the emulator was asked, for tests and for figures."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

_WRITES = {"create", "update", "delete", "create_multiple", "update_multiple", "upsert_multiple"}


@dataclass
class Statistics:
    """Counters since the last reset.

    `first_request_at` is when the first HTTP request arrived, in UTC; None before.
    `requests` are HTTP requests by kind; `operations` count the parts of batches instead of the batch;
    `writes` are the operations that were asked to change rows, `rows_written` the rows that did change.
    """

    requests: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    writes: int = 0
    rows_written: int = 0
    kept_cookies: int = 0
    first_request_at: datetime | None = None

    def arrived(self, at: datetime) -> None:
        """Note an HTTP request that has arrived at an instant."""
        self.first_request_at = at if self.first_request_at is None else self.first_request_at

    def request(self, kind: str, status: int) -> None:
        """Count an HTTP request with its answer's status."""
        self.requests[kind] += 1
        self.statuses[status] += 1

    def operation(self, kind: str, rows: int) -> None:
        """Count an operation and the rows it wrote."""
        self.operations[kind] += 1
        self.writes += kind in _WRITES
        self.rows_written += rows

    def reset(self) -> None:
        """Set every counter back to zero."""
        self.__init__()  # type: ignore[misc]

    def as_json(self) -> dict[str, Any]:
        """Show the counters."""
        return {
            "requests": sum(self.requests.values()),
            "requests_by_kind": dict(sorted(self.requests.items())),
            "operations_by_kind": dict(sorted(self.operations.items())),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "writes": self.writes,
            "rows_written": self.rows_written,
            "kept_cookies": self.kept_cookies,
            "first_request_at": self.first_request_at and self.first_request_at.isoformat(),
        }
