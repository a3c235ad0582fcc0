"""What a client is told to write, and what it says of it afterwards.

The clients are programs of their own, some of them not in Python: a job goes to standard input as one JSON object, and
the answer comes back as one on standard output.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

TASKS: Final = 8
"""Requests at a time: what Dataverse recommends in `x-ms-dop-hint` of a usual organization."""

ATTEMPTS: Final = 5
"""Of each request; the SDK's own number for connections that fail."""

LARGEST_CHUNK: Final = 1000
"""Rows in one request: the most that one `$batch` may hold."""


class Kind(StrEnum):
    """CREATE: rows that are not there. UPSERT: some columns of rows that may be, found by their alternate key."""

    CREATE = "create"
    UPSERT = "upsert"


@dataclass(frozen=True)
class Job:
    """Rows for one table; each row holds the column `key` beside those to write."""

    url: str
    token: str = field(repr=False)
    kind: Kind
    rows: Sequence[dict[str, Any]]
    table: str = "msdyn_customerasset"
    set: str = "msdyn_customerassets"
    key: str = "msdyn_assetnumber"
    chunk: int = LARGEST_CHUNK
    tasks: int = TASKS
    attempts: int = ATTEMPTS
    token_url: str = ""
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    retry_seconds: float = 60.0
    """The document's client alone: between two tries of its task."""

    def to_json(self) -> dict[str, Any]:
        """Show the job as the client reads it."""
        return asdict(self)


@dataclass(frozen=True)
class Answer:
    """How a client says it went: rows said to be written, rows given up, seconds from its first request to its end."""

    written: int
    given_up: int
    seconds: float
    cpu_seconds: float
    tokens: int = 0


def chunk_size(rows: int, *, tasks: int = TASKS, largest: int = LARGEST_CHUNK) -> int:
    """Rows for each request, so that every task has an equal share in as few rounds as possible.

    Example: 10,000 rows for 8 tasks are 16 requests of 625, in two rounds; 1,000 rows are 8 of 125, in one.
    """
    rounds = -(-rows // (tasks * largest))
    return max(1, -(-rows // (tasks * rounds)))
