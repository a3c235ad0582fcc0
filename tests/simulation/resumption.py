"""What the checker makes of edits by people in a side that was restored, before an operator has said so."""

import asyncio
from dataclasses import dataclass

from tests.simulation.backups import Backups
from tests.simulation.edits import Side


@dataclass(frozen=True)
class Resumption:
    """Judges by the side, by what the links saw change, and by what the product has proven."""

    backups: Backups

    def edited(self, side: Side, entity: str, name: str) -> None:
        """Note a person's edit in what may have gone back: where nothing tells of that, all its fields seem edited."""
        conditions = self.backups.conditions
        if conditions.rewound[side] | conditions.vanished[side]:
            conditions.edited[side].add((entity, name))
        proven = self._is_proven(side, entity)
        if proven:
            conditions.told[side].add(entity)
        if entity not in conditions.told[side]:
            self._adopt(side, {(entity, name)})
            return
        conditions.resumed[side].add((entity, name))
        self.backups.note_what_tells(side, *conditions.told[side])
        if entity in conditions.told[side]:
            return
        # Unless that was seen in time, nothing is left that tells of the restore: each of these was edited since.
        if proven:
            conditions.told[side].add(entity)
        else:
            edited = {one for one in conditions.resumed[side] if one[0] == entity}
            self._adopt(side, edited - self.backups.ledger.held_back(side))

    def _is_proven(self, side: Side, entity: str) -> bool:
        """Whether the product has proven a restore that took back something of the entity: without one it is wrong."""
        rewound = {of for of, _ in self.backups.conditions.rewound[side]}
        return entity in rewound and self.backups.ledger.proves_a_restore(side, entity)

    def _adopt(self, side: Side, edited: set[tuple[str, str]]) -> None:
        for entity, name in sorted(edited & self.backups.conditions.untraced[side]):
            self.backups.history.adopt(side, entity, name, asyncio.get_running_loop().time())
