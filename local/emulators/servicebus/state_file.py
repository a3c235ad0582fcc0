"""The messages of a broker in a SQLite file: a broker that is killed and started again has them all.

A send is answered after its message is in the file. The file survives the process, not the machine: nothing waits for
the disk. Locks, sessions' locks and sessions' states are not kept.
"""

import json
import sqlite3
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from local.emulators.servicebus.amqp.message import Message
from local.emulators.servicebus.content import submission_of
from local.emulators.servicebus.entry import Entry, State

_TABLES = """
CREATE TABLE IF NOT EXISTS messages (
    queue TEXT, dead INTEGER, number INTEGER, message BLOB, facts TEXT, PRIMARY KEY (queue, dead, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS numbers (queue TEXT PRIMARY KEY, last INTEGER) WITHOUT ROWID;
"""


class KeptQueue:
    """Keeps the messages of one queue or dead-letter queue in the file."""

    def __init__(self, db: sqlite3.Connection, queue: str, *, dead: bool) -> None:
        self._db = db
        self._queue = queue
        self._dead = dead

    def of_dead_letters(self) -> Self:
        """The keeper of the queue's dead letters."""
        return type(self)(self._db, self._queue, dead=True)

    def put(self, entry: Entry[Message]) -> None:
        """Write a message."""
        row = (self._queue, self._dead, entry.sequence_number, _encoded(entry.content), json.dumps(_facts(entry)))
        self._db.execute("INSERT OR REPLACE INTO messages VALUES (?, ?, ?, ?, ?)", row)
        if not self._dead:
            grow = "INSERT INTO numbers VALUES (?, ?) ON CONFLICT (queue) DO UPDATE SET last = max(last, excluded.last)"
            self._db.execute(grow, (self._queue, entry.sequence_number))

    def drop(self, number: int) -> None:
        """Delete a message."""
        where = (self._queue, self._dead, number)
        self._db.execute("DELETE FROM messages WHERE queue = ? AND dead = ? AND number = ?", where)

    def kept(self) -> tuple[int, list[Entry[Message]]]:
        """Read everything."""
        last = self._db.execute("SELECT last FROM numbers WHERE queue = ?", (self._queue,)).fetchone()
        rows = self._db.execute(
            "SELECT number, message, facts FROM messages WHERE queue = ? AND dead = ? ORDER BY number",
            (self._queue, self._dead),
        )
        return last[0] if last else 0, [_entry(number, message, json.loads(facts)) for number, message, facts in rows]


class StateFile:
    """The file; each queue writes to it through a keeper of its own."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            ValueError: it cannot be used.
        """
        self._db = sqlite3.connect(path, isolation_level=None)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=OFF")
            self._db.executescript(_TABLES)
        except sqlite3.Error as error:
            self._db.close()
            raise ValueError(f"The state file {path} cannot be used ({error}). Name another, or delete it.") from error

    def keeper(self, queue: str) -> KeptQueue:
        """The keeper of a queue."""
        return KeptQueue(self._db, queue.casefold(), dead=False)

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _encoded(message: Message) -> bytes:
    return message.delivered(0, {}, {}, message.time_to_live)


def _facts(entry: Entry[Message]) -> dict[str, Any]:
    """What the encoded message does not say."""

    def text(instant: datetime | None) -> str | None:
        return instant.isoformat() if instant is not None else None

    return {
        "id": entry.submission.message_id,
        "size": entry.submission.size,
        "enqueued_at": text(entry.enqueued_at),
        "expires_at": text(entry.expires_at),
        "scheduled_for": text(entry.submission.scheduled_for),
        "state": entry.state,
        "delivery_count": entry.delivery_count,
        "reason": entry.dead_letter_reason,
        "description": entry.dead_letter_description,
    }


def _entry(number: int, encoded: bytes, facts: dict[str, Any]) -> Entry[Message]:
    def instant(name: str) -> datetime | None:
        return datetime.fromisoformat(facts[name]) if facts[name] is not None else None

    submission = replace(
        submission_of(encoded), message_id=facts["id"], size=facts["size"], scheduled_for=instant("scheduled_for")
    )
    return Entry(
        submission,
        submission.content,
        number,
        datetime.fromisoformat(facts["enqueued_at"]),
        State(facts["state"]),
        expires_at=instant("expires_at"),
        delivery_count=facts["delivery_count"],
        dead_letter_reason=facts["reason"],
        dead_letter_description=facts["description"],
    )
