"""What the ledger's tests share."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shared.domain.ledger import Base, ConflictRecord, Entry, Intent, ParkedField, Said, Stored, readable
from shared.flows.ports.engine import Ledger

NOW = datetime(2026, 3, 4, 5, 6, 7, 891011, tzinfo=UTC)


@dataclass(frozen=True)
class Store:
    """A store that any number of workers may open; `spoil` edits an asset's row by hand: its key, its new body."""

    open: Callable[[], Ledger]
    spoil: Callable[[str, str], Awaitable[None]]


async def read(ledger: Ledger, keys: Collection[str]) -> dict[str, Stored]:
    """The assets' entries, all of which must be readable."""
    return {key: readable(one) for key, one in (await ledger.read("asset", keys)).items()}


def fresh(key: str, dynamics_id: str | None = None) -> Stored:
    """An entry that the ledger does not hold yet."""
    return Stored(entry=Entry(key=key, dynamics_id=dynamics_id))


def changed(stored: Stored, **update: object) -> Stored:
    """The same entry under the same etag, with other contents."""
    return stored.model_copy(update={"entry": stored.entry.model_copy(update=update)})


def full_entry(key: str) -> Entry:
    """An entry in which everything is said."""
    return Entry(
        key=key,
        dynamics_id="1d6c1d5b-0000-4000-8000-00000000000f",
        moved_to="B-2",
        renamed_from="A-0",
        bases={"estado": Base(cmms="BORRADOR", dynamics="1"), "total": Base(cmms=None, dynamics="0.10")},
        said={"total": Said(value="1.5", at=NOW, sequence=7)},
        intents=(
            Intent(
                id="7", side="cmms", expected_etag=None, values={"a": None}, sources={"a": "é"},
                expires_at=NOW + timedelta(seconds=150),
            ),
        ),
        conflicts=(conflict(1), conflict(2)),
        parked={"serie": ParkedField(side="dynamics", digest="00ff", reason="mapping_error")},
        deleted_at=NOW,
        cmms_id="42",
        last_sync=NOW,
    )  # fmt: skip


def conflict(number: int, size: int = 0) -> ConflictRecord:
    """A record of a lost value, of about `size` characters."""
    return ConflictRecord(
        field="nombre", winner="cmms", won=f"won {number}", lost=f"lost {number} " + "x" * size, why="both_changed",
        at=NOW + timedelta(seconds=number),
    )  # fmt: skip
