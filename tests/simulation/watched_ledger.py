"""The real SQLite ledger, watched: which record and row it links, and for which row a record is made."""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, override

from shared.adapters.ledger import SqliteLedger
from shared.domain.blocked import RECORD
from shared.domain.link import Link, Stored
from shared.domain.model import Side
from shared.domain.witnesses import KEPT
from shared.errors import LinkTooLarge, WentBack
from tests.simulation.edits import Cell, Name

type Pairing = Callable[[str, str, str], None]
type Changed = tuple[Side, str, str]
"""The side, the entity and the id of what was seen to change."""
type State = tuple[int | datetime, datetime]
"""What tells which of two states is newer, a row's version or a record's instant; and when the state was made."""


@dataclass(frozen=True)
class LedgerBackup:
    """The whole database, and what it had seen to change."""

    database: bytes
    seen: dict[Changed, State]


class WatchedLedger(SqliteLedger):
    """In memory. `paired` hears of each record and row that a stored link names together."""

    def __init__(self, paired: Pairing) -> None:
        super().__init__(":memory:")
        self._paired = paired
        self.discarded: list[tuple[str, Link]] = []
        """Every link that a restore took back, as it was before."""
        self._made_for: dict[tuple[str, str], str | None] = {}
        self._seen: dict[Changed, State] = {}
        self._states: dict[Changed, tuple[Link, State]] = {}

    @override
    async def write(self, entity: str, links: Sequence[Stored]) -> Sequence[Stored | LinkTooLarge | None]:
        results = await super().write(entity, links)
        for result in results:
            if isinstance(result, Stored):
                self._note_changes(entity, result.link)
                link = result.link
                for intent in link.intents:
                    if intent.side == "cmms" and intent.creates:
                        self._made_for[entity, intent.id] = link.row_id
                if link.cmms_id is not None and link.row_id is not None:
                    self._paired(entity, link.cmms_id, link.row_id)
        return results

    def newest_changes(self, side: Side, entity: str) -> dict[str, State]:
        """What the links saw change last on a side, by its id: the state that it had then.

        What a link sees for the first time is no change; of an older one than so many others nobody knows any more.
        """
        seen = [(name, state) for (of, kind, name), state in self._seen.items() if (of, kind) == (side, entity)]
        return dict(seen[-KEPT:])

    def _note_changes(self, entity: str, link: Link) -> None:
        """Note what a link shows otherwise than it did: of the same record and row."""
        seen = link.seen
        states: dict[Changed, tuple[int | datetime | None, datetime | None]] = {
            ("dynamics", entity, str(link.row_id)): (seen.row_version, seen.row_modified),
            ("cmms", entity, str(link.cmms_id)): (seen.cmms_version, seen.cmms_version),
        }
        for changed, (order, at) in states.items():
            if order is None or at is None:
                continue
            known, (earlier, _) = self._states.get(changed, (link, (order, at)))
            same = (known.cmms_id, known.row_id) == (link.cmms_id, link.row_id)
            if same and earlier < order:  # type: ignore[operator]  # both are of one side
                self._seen.pop(changed, None)
                self._seen[changed] = (order, at)
            self._states[changed] = (link, (order, at))

    def backup(self) -> LedgerBackup:
        """The whole database as it is."""
        return LedgerBackup(self._db.serialize(), dict(self._seen))

    def restore(self, backup: LedgerBackup) -> None:
        """Put a backup back."""
        self.discarded += self.all_links()
        self._db.deserialize(backup.database)
        self._seen, self._states = dict(backup.seen), {}
        for entity, link in self.all_links():
            self._note_changes(entity, link)

    def row_of(self, entity: str, operation: str) -> str | None:
        """The row that a create in the CMMS was announced for."""
        return self._made_for.get((entity, operation))

    def link_of_row(self, entity: str, row: str) -> Link | None:
        """The link of a row, if one has it now."""
        found = self._db.execute("SELECT body FROM link WHERE entity = ? AND row_id = ?", (entity, row)).fetchone()
        return Link.parse(found[0]) if found is not None else None

    def bound(self, entity: str, row: str) -> bool:
        """Whether the ledger knows by now that the row was made."""
        link = self.link_of_row(entity, row)
        return link is not None and link.create_of("dynamics") is None

    def obeys(self, entity: str, name: Name) -> bool:
        """Whether the link of a record or row holds an operator's word by now that the side was restored."""
        links = [link for of, link in self.all_links() if of == entity and link.restored == name[0]]
        return any(name in {("cmms", link.cmms_id), ("dynamics", link.row_id)} for link in links)

    def losers(self, cell: Cell, kin: Collection[Name], *, discarded: bool) -> set[str | None]:
        """The values that lost in a cell, as links say that name any of its kin; `discarded` ones as well."""
        before = self.discarded if discarded else []
        links = [link for entity, link in (*self.all_links(), *before) if entity == cell.entity]
        near = [link for link in links if {("cmms", link.cmms_id), ("dynamics", link.row_id)} & {*kin}]
        return {one.lost for link in near for one in link.conflicts if one.field == cell.field}

    def agreed(self, cell: Cell) -> set[str | None]:
        """What the links remember of a cell of their own record or row."""
        own = [link for entity, link in self.all_links() if entity == cell.entity]
        own = [link for link in own if cell.record == {"cmms": link.cmms_id, "dynamics": link.row_id}[cell.side]]
        bases = [link.bases[cell.field] for link in own if cell.field in link.bases]
        return {{"cmms": base.cmms, "dynamics": base.dynamics}[cell.side] for base in bases}

    def proves_a_restore(self, side: Side, entity: str) -> bool:
        """Whether the product has stored, since an operator's last word, that what was seen of an entity went back."""
        found, words = (self._text(f"sync/{what}/{entity}") for what in ("witnesses", "restored"))
        if side not in found:
            return False
        return found[side]["since"] is not None and found[side]["word"] == words.get(side, "")

    def _text(self, name: str) -> dict[str, Any]:
        found = self._db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        text: dict[str, Any] = {} if found is None else json.loads(found[0])
        return text

    def held_back(self, side: Side) -> set[tuple[str, str]]:
        """The rows or records, with their entities, that are held because a side went back."""
        held = [(entity, link) for entity, link in self.all_links() if link.park_of(RECORD).reason == WentBack.reason]
        return {(entity, str({"dynamics": link.row_id, "cmms": link.cmms_id}[side])) for entity, link in held}

    def all_links(self) -> list[tuple[str, Link]]:
        """Every link with its entity, the oldest first."""
        rows = self._db.execute("SELECT entity, body FROM link ORDER BY number").fetchall()
        return [(entity, Link.parse(body)) for entity, body in rows]
