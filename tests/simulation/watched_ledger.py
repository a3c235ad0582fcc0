"""The real SQLite ledger, watched: which record and row it links, and for which row a record is made."""

from collections.abc import Callable, Sequence
from typing import override

from shared.adapters.ledger import SqliteLedger
from shared.domain.high_water import HighWater
from shared.domain.link import Link, Stored
from shared.errors import LinkTooLarge

type Pairing = Callable[[str, str, str], None]


class WatchedLedger(SqliteLedger):
    """In memory. `paired` hears of each record and row that a stored link names together."""

    def __init__(self, paired: Pairing) -> None:
        super().__init__(":memory:")
        self._paired = paired
        self.discarded: list[tuple[str, Link]] = []
        """Every link that a restore took back, as it was before."""
        self._made_for: dict[tuple[str, str], str | None] = {}

    @override
    async def write(self, entity: str, links: Sequence[Stored]) -> Sequence[Stored | LinkTooLarge | None]:
        results = await super().write(entity, links)
        for result in results:
            if isinstance(result, Stored):
                link = result.link
                for intent in link.intents:
                    if intent.side == "cmms" and intent.creates:
                        self._made_for[entity, intent.id] = link.row_id
                if link.cmms_id is not None and link.row_id is not None:
                    self._paired(entity, link.cmms_id, link.row_id)
        return results

    def backup(self) -> bytes:
        """The whole database as it is."""
        return self._db.serialize()

    def restore(self, backup: bytes) -> None:
        """Put a backup back."""
        self.discarded += self.all_links()
        self._db.deserialize(backup)

    def row_of(self, entity: str, operation: str) -> str | None:
        """The row that a create in the CMMS was announced for."""
        return self._made_for.get((entity, operation))

    def link_of_row(self, entity: str, row: str) -> Link | None:
        """The link of a row, if one has it now."""
        found = self._db.execute("SELECT body FROM link WHERE entity = ? AND row_id = ?", (entity, row)).fetchone()
        return Link.model_validate_json(found[0]) if found is not None else None

    def high_water(self, entity: str) -> HighWater:
        """The marks that the product has stored of an entity."""
        found = self._db.execute("SELECT value FROM state WHERE name = ?", (f"sync/high_water/{entity}",)).fetchone()
        return HighWater.model_validate_json(found[0]) if found is not None else HighWater()

    def all_links(self) -> list[tuple[str, Link]]:
        """Every link with its entity, the oldest first."""
        rows = self._db.execute("SELECT entity, body FROM link ORDER BY number").fetchall()
        return [(entity, Link.model_validate_json(body)) for entity, body in rows]
