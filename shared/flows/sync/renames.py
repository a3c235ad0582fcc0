"""A record that got another key in the CMMS keeps its row: the ledger's memory of it moves to the new key.

What the CMMS shows decides, not the messages, which may be late, lost, doubled or overtaken: a tombstone names the
key that its record went to, a record the key that it came from, and an identity that renames do not change tells a
record that took over a key from the one that had it before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shared.domain.ledger import Stored, readable
from shared.domain.messages.events import RenamedData
from shared.domain.model import CmmsRecord
from shared.domain.plan import Sides
from shared.domain.recovery import may_yet_be_made, only_announced
from shared.domain.renamed import (
    ASIDE,
    identity,
    is_aside,
    is_known,
    is_left,
    is_of,
    is_taken_over,
    moved_entries,
    without_record,
)
from shared.domain.schema.mapping import EntityMapping
from shared.errors import Conflict, IntentHeld, KeyNotUsable, LedgerUnreadable
from shared.flows.ports.engine import Clock, Cmms, Ledger
from shared.flows.routing.outcomes import Again, Park
from shared.flows.routing.route import Router
from shared.flows.sync.aside import Aside
from shared.flows.sync.items import SOURCE, Group
from shared.flows.sync.strangers import PATIENCE, Stranger

_STEPS: Final = 5


@dataclass(frozen=True)
class _Found:
    """`there` is the record whose memory a key's entry is, where it is not the one that has the key.

    `rowless` means that Dynamics has no row for the key or the memory.
    """

    there: CmmsRecord | None
    stranger: Stranger | None
    rowless: bool


class Renames:
    """Finds out for each record of a round whether its memory is kept under another key, and moves it."""

    def __init__(self, ledger: Ledger, cmms: Cmms, router: Router, clock: Clock) -> None:
        self._ledger = ledger
        self._cmms = cmms
        self._router = router
        self._clock = clock
        self._aside = Aside(ledger, router)

    async def follow(
        self,
        entity: EntityMapping,
        groups: Mapping[str, Group],
        stored: Mapping[str, Stored],
        sides: Mapping[str, Sides],
        strangers: Mapping[str, Stranger],
    ) -> set[str]:
        """Answers the keys whose groups are to be read again, or have been put off, because something moved.

        Args:
            entity: Their mapping.
            groups: The round's records.
            stored: The ledger's memory of them, with old intents settled.
            sides: What both sides hold.
            strangers: Rows that have the key of one of the records without being its row.
        """
        moved: set[str] = set()
        records = {key: record for key in groups if (record := sides[key].cmms) is not None}
        lost = {stored[key].entry.cmms_id for key, record in records.items() if is_left(stored[key].entry, record)}
        lost |= {identity(key) for key in groups if is_aside(key)}
        ids = sorted(id_ for id_ in lost if id_ is not None)
        living = await self._cmms.by_id(entity, ids) if ids else {}
        moved |= await self._aside.follow(entity, groups, stored, living)
        await self._aside.ask(entity, groups, strangers)
        for key, record in records.items():
            group, memory = groups[key], stored[key]
            try:
                there = living.get(memory.entry.cmms_id or "")
                found = _Found(there, strangers.get(key), rowless=not sides[key].rows and sides[key].bound is None)
                gone = await self._follow(entity, group, memory, record, found)
            except (LedgerUnreadable, KeyNotUsable) as error:
                # Where its memory may be cannot be told without that row; or the ledger cannot keep it there.
                group.finish(Park(error))
                gone = True
            except IntentHeld as error:
                group.finish(Again(error))
                gone = True
            if gone:
                moved.add(key)
        return moved

    async def _follow(
        self,
        entity: EntityMapping,
        group: Group,
        memory: Stored,
        record: CmmsRecord,
        found: _Found,
    ) -> bool:
        there = found.there
        if there is not None and there.key == group.key:
            group.finish(Again(Conflict(f"{group.key} got its key back while it was being read.")))
            return True
        if record.deleted:
            renamed = any(isinstance(item.payload, RenamedData) for item in group.open_items)
            another = is_taken_over(memory.entry, record)
            if renamed or another or not is_known(memory.entry) or memory.entry.deleted_at is not None:
                await self._left_behind(entity, group, memory, record)
            return await self._leave(entity, group, memory, record.renamed_to, there=there, stranger=found.stranger)
        if not is_known(memory.entry):
            return await self._fetch(entity, group, memory, record)
        if there is not None:
            gone = await self._make_room(entity, group, memory, there)
        else:
            # The record before is deleted. Where it has no row to take over, this one's own memory may be elsewhere.
            gone = found.rowless and is_taken_over(memory.entry, record)
            gone = gone and await self._fetch(entity, group, memory, record)
        if not gone:
            await self._left_behind(entity, group, memory, record)
        return gone

    async def _leave(
        self,
        entity: EntityMapping,
        group: Group,
        old: Stored,
        successor: str | None,
        *,
        there: CmmsRecord | None,
        stranger: Stranger | None,
    ) -> bool:
        """The record went to another key: its memory and its messages follow."""
        if successor is None and there is None:
            return False
        if stranger is not None and stranger.owner is None:
            return False  # a row that nobody knows kept the old key: a person decides
        if successor is not None and not is_known(old.entry):
            await self._forget(entity, [old], key_is_free=stranger is None)
            group.follow(successor)
            return True
        if there is None and successor is not None and old.entry.cmms_id is None:
            there = await self._living(entity, successor)
        if there is None:
            return False  # it was deleted, here or later under another key
        new = await self._room(entity, group, there)
        if new is None:
            return False  # that key has a row of its own: this one is treated as deleted
        if await self._move(entity, group, old, new):
            group.follow(there.key)
        return True

    async def _forget(self, entity: EntityMapping, left: Sequence[Stored], *, key_is_free: bool = False) -> None:
        """What was parked of a record without a memory is found again under its new key.

        One that lost a race for its row is left to whoever won it.
        """
        rest = [one.model_copy(update={"entry": without_record(one.entry, key_is_free=key_is_free)}) for one in left]
        if changed := [new for old, new in zip(left, rest, strict=True) if new != old]:
            await self._ledger.write(entity.name, changed)

    async def _fetch(self, entity: EntityMapping, group: Group, new: Stored, record: CmmsRecord) -> bool:
        """A record without a memory may have one under a key that it had before."""
        said = [item.payload.old_key for item in group.open_items if isinstance(item.payload, RenamedData)]
        former = [key for key in dict.fromkeys((*reversed(record.former_keys), *said)) if key != group.key]
        if not former:
            return False
        former.extend([ASIDE + record.id] if record.id is not None else [])
        stored = {key: readable(one) for key, one in (await self._ledger.read(entity.name, former)).items()}
        known = [key for key in former if is_known(stored[key].entry)]
        mine = [stored[key] for key in former if key not in known and stored[key].entry.cmms_id in {None, record.id}]
        if record.id is not None:
            await self._forget(entity, mine)
        asked = [key for key in known if not is_aside(key)]
        before = await self._cmms.by_key(entity, asked) if asked else {}
        for key in known:
            if is_aside(key) or is_of(stored[key].entry, record, before.get(key)):
                if (wait := may_yet_be_made(new.entry, self._clock.now())) is not None:
                    late = f"A row of the record that had {group.key} before may yet be made."
                    group.finish(Again(IntentHeld(late, retry_after=wait)))
                else:
                    await self._move(entity, group, stored[key], new)
                return True
        return False

    async def _left_behind(self, entity: EntityMapping, group: Group, memory: Stored, record: CmmsRecord) -> None:
        """Have the row looked at that a record left behind under a former key.

        It came to a key with a row of its own, or was deleted before its memory could follow it.
        """
        said = [item.payload.old_key for item in group.open_items if isinstance(item.payload, RenamedData)]
        if not (said or record.deleted or is_taken_over(memory.entry, record)):
            return
        former = [key for key in dict.fromkeys((*record.former_keys, *said)) if key != group.key]
        if record.id is not None and memory.entry.cmms_id != record.id:
            former.append(ASIDE + record.id)
        if not former:
            return
        left = [
            key
            for key, stored in (await self._ledger.read(entity.name, former)).items()
            if isinstance(stored, Stored) and is_known(stored.entry)
            if record.id in {None, stored.entry.cmms_id} and stored.entry.deleted_at is None
        ]
        await self._router.resync(entity.name, left, reason=f"renamed to {group.key}", source=SOURCE)

    async def _make_room(self, entity: EntityMapping, group: Group, old: Stored, there: CmmsRecord) -> bool:
        """Another record has this key now: the memory of the one before goes where that one went."""
        new = await self._room(entity, group, there)
        if new is None:
            return False
        if await self._move(entity, group, old, new):
            await self._router.resync(entity.name, [there.key], reason=f"renamed from {group.key}", source=SOURCE)
        return True

    async def _room(self, entity: EntityMapping, group: Group, there: CmmsRecord) -> Stored | None:
        """Where the memory of a record may be kept; None if its key has that of another one for good.

        One that is to leave that key as well may be waiting for this one to go: then this one steps aside, to a key
        that no record can have, where its record finds it once its own key is free.

        Raises:
            IntentHeld: That key's last record is gone, and its row may or may not be made: that key's own messages
                find out, and fetch the memory if it was not.
        """
        new = readable((await self._ledger.read(entity.name, [there.key]))[there.key])
        if not is_known(new.entry):
            return new
        other = new.entry.cmms_id
        if there.id is None or other is None or other == there.id:
            return None
        if not await self._cmms.by_id(entity, [other]):
            if not only_announced(new.entry) or group.attempts >= PATIENCE:
                return None
            wait = may_yet_be_made(new.entry, self._clock.now())
            if wait is None:
                await self._router.resync(entity.name, [there.key], reason=f"renamed from {group.key}", source=SOURCE)
            late = f"A row of the record that had {there.key} before may have been made."
            raise IntentHeld(late, retry_after=wait)
        aside = ASIDE + there.id
        return readable((await self._ledger.read(entity.name, [aside]))[aside])

    async def _living(self, entity: EntityMapping, key: str) -> CmmsRecord | None:
        """The record at the end of a chain of renames, if it still exists: all that a CMMS without identities tells."""
        following: str | None = key
        for _ in range(_STEPS):
            if following is None:
                return None
            record = (await self._cmms.by_key(entity, [following])).get(following)
            if record is None or not record.deleted:
                return record
            following = record.renamed_to
        return None

    async def _move(self, entity: EntityMapping, group: Group, old: Stored, new: Stored) -> bool:
        """Move the memory at once or not at all; else the group's messages are put off."""
        now = self._clock.now()
        for intent in (*old.entry.intents, *new.entry.intents):
            if intent.expires_at > now:
                held = IntentHeld(
                    f"A write to {old.entry.key} may be under way, and it is being renamed to {new.entry.key}.",
                    retry_after=intent.expires_at - now,
                )
                group.finish(Again(held))
                return False
        left, moved = moved_entries(old.entry, new.entry)
        if await self._ledger.move(
            entity.name, old.model_copy(update={"entry": left}), new.model_copy(update={"entry": moved})
        ):
            return True
        group.finish(Again(Conflict(f"{old.entry.key} changed while it was being renamed to {new.entry.key}.")))
        return False
