"""Memories that wait aside, under a ledger key that no record can have, while records exchange their keys."""

from collections.abc import Mapping

from shared.domain.ledger import Entry, Stored
from shared.domain.model import CmmsRecord
from shared.domain.renamed import identity, is_aside, is_known
from shared.domain.schema.mapping import EntityMapping
from shared.errors import LedgerUnreadable
from shared.flows.ports.engine import Ledger
from shared.flows.routing.outcomes import Done
from shared.flows.routing.route import Router
from shared.flows.sync.items import SOURCE, Group
from shared.flows.sync.strangers import Stranger


class Aside:
    """Sends the messages of such memories to their records, and has a memory looked at whose row is in the way."""

    def __init__(self, ledger: Ledger, router: Router) -> None:
        self._ledger = ledger
        self._router = router

    async def follow(
        self,
        entity: EntityMapping,
        groups: Mapping[str, Group],
        stored: Mapping[str, Stored],
        living: Mapping[str, CmmsRecord],
    ) -> set[str]:
        """Answers the keys whose groups go to their records, or have nothing to do; the rest are of records now gone.

        A record that has a memory under its own key by now, with a row that it took over, has left the other for good.

        Args:
            entity: Their mapping.
            groups: The round's records, of which only the memories aside matter.
            stored: The ledger's memory of them.
            living: The records by the identities of these memories, as far as the CMMS knows them.
        """
        aside = [key for key in groups if is_aside(key)]
        owners = {key: living[identity(key)] for key in aside if identity(key) in living}
        own = await self._ledger.read(entity.name, [one.key for one in owners.values()]) if owners else {}
        waiting = {key: one for key, one in owners.items() if not _is_memory_of(own[one.key], one)}
        return {key for key in aside if _called_back(groups[key], stored[key].entry, waiting.get(key))}

    async def ask(self, entity: EntityMapping, groups: Mapping[str, Group], strangers: Mapping[str, Stranger]) -> None:
        """Have the memories looked at whose rows have the key of another record.

        Once for each message of those: the answer may follow its record to the same key, and must not ask again.
        """
        owners = {
            stranger.owner
            for key, stranger in strangers.items()
            if stranger.owner is not None and is_aside(stranger.owner) and groups[key].is_told
        }
        await self._router.resync(entity.name, sorted(owners), reason="its row has another's key", source=SOURCE)


def _called_back(group: Group, entry: Entry, owner: CmmsRecord | None) -> bool:
    """Whether the group is not to be planned; else its record is gone, and its row is left."""
    if owner is not None:
        group.follow(owner.key)
    elif is_known(entry):
        group.gone = True
        return False
    else:
        group.finish(Done(applied=False))  # it has been called back since
    return True


def _is_memory_of(stored: Stored | LedgerUnreadable, record: CmmsRecord) -> bool:
    return isinstance(stored, Stored) and is_known(stored.entry) and stored.entry.cmms_id == record.id
