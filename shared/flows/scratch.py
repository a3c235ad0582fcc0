"""A SQLite database in a temporary file: for what is compared once and thrown away.

The file keeps memory flat for any number of records. SQLite removes it by itself, also when the process is killed.
"""

import sqlite3
from types import TracebackType
from typing import Final, Self

from shared.errors import Unavailable

CACHE_KIB: Final = 32 * 1024


class Scratch:
    """The database, in `_db`. A failure of SQLite within the `with` block leaves it as Unavailable."""

    def __init__(self, schema: str, use: str, size: str) -> None:
        """`use` is what the file is for, and `size` what a record takes of it, as the failure says them.

        Example: `Scratch(SCHEMA, "The sweep's temporary file", "about 300 bytes")`.
        """
        self._use, self._size = use, size
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-{CACHE_KIB};")
        self._db.executescript(schema)
        self._db.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        if isinstance(error, sqlite3.Error):
            raise Unavailable(
                f"{self._use} cannot be used: {error}. It takes {self._size} for each record, in the folder that"
                " SQLITE_TMPDIR or TMPDIR names."
            ) from error
