"""A record that got another key in the CMMS keeps its row: the ledger's memory of it moves to the new key.

What the CMMS shows decides, not the messages, which may be late, lost, doubled or overtaken: a tombstone names the
key that its record went to, a record the key that it came from, and an identity that renames do not change tells a
record that took over a key from the one that had it before.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from shared.domain.events import RenamedData
from shared.domain.ledger import Entry, Intent, Stored
from shared.domain.mapping import EntityMapping
from shared.domain.model import CmmsRecord
from shared.domain.plan import Sides
from shared.domain.recovery import settle_intents
from shared.errors import Conflict, IntentHeld
from shared.flows.outcomes import Again
from shared.flows.ports import Clock, Cmms, Dynamics, Ledger
from shared.flows.route import Router
from shared.flows.sync.items import Group

SOURCE: Final = "/sync"
LATEST_CREATE: Final = timedelta(minutes=15)
"""How long after its intent's expiry a create of unknown outcome may still land. No service holds a request longer;
until then a row may appear under the old key, and a second one must not be made under the new key."""
PATIENCE: Final = 6
"""Attempts after which what was not found is taken for deleted, or for never to be given back."""
_STEPS: Final = 5


class Renames:
    """Finds out for each record of a round whether its memory is kept under another key, and moves it."""

    def __init__(self, ledger: Ledger, dynamics: Dynamics, cmms: Cmms, router: Router, clock: Clock) -> None:
        self._ledger = ledger
        self._dynamics = dynamics
        self._cmms = cmms
        self._router = router
        self._clock = clock

    async def follow(
        self,
        entity: EntityMapping,
        groups: Mapping[str, Group],
        stored: Mapping[str, Stored],
        sides: Mapping[str, Sides],
        owners: Mapping[str, str | None],
    ) -> set[str]:
        """Answers the keys whose groups are to be read again, or have been put off, because something moved.

        Args:
            entity: Their mapping.
            groups: The round's records.
            stored: The ledger's memory of them, with old intents settled.
            sides: What both sides hold.
            owners: By each key that a row has which is not its record's: the key of that row's record, if any.
        """
        moved: set[str] = set()
        for key, group in groups.items():
            record = sides[key].cmms
            if record is None:
                continue
            memory = stored[key]
            if record.deleted:
                # A row that nobody knows and that kept the old key is not the renamed record's: a person decides.
                gone = (
                    record.renamed_to is not None
                    and owners.get(key, record.renamed_to) is not None
                    and await self._leave(entity, group, memory, record.renamed_to)
                )
            elif not _known(memory.entry):
                gone = await self._fetch(entity, group, memory, record)
            else:
                gone = _taken_over(memory.entry, record) and await self._make_room(entity, group, memory, record)
            if gone:
                moved.add(key)
        return moved

    async def _leave(self, entity: EntityMapping, group: Group, old: Stored, successor: str) -> bool:
        """The record went to another key: its memory and its messages follow."""
        if not _known(old.entry):
            group.follow(successor)
            return True
        there = await self._living(entity, successor)
        if there is None:
            return False  # it was deleted later, under another key
        new = (await self._ledger.read(entity.name, [there.key]))[there.key]
        if _taken_over(old.entry, there):
            return _put_off(group, old.entry)
        if _known(new.entry):
            return False  # that key has a row of its own: this one is treated as deleted
        if await self._move(entity, group, old, new):
            group.follow(there.key)
        return True

    async def _fetch(self, entity: EntityMapping, group: Group, new: Stored, record: CmmsRecord) -> bool:
        """A record without a memory may have one under the key that it had before."""
        said = [item.payload.old_key for item in group.open_items if isinstance(item.payload, RenamedData)]
        former = record.renamed_from or next((key for key in said if key != group.key), None)
        for _ in range(_STEPS):
            if former is None or former == group.key:
                return False
            old = (await self._ledger.read(entity.name, [former]))[former]
            before = (await self._cmms.by_key(entity, [former])).get(former)
            if _known(old.entry):
                if not _same(old.entry, record, before):
                    return False
                await self._move(entity, group, await self._seen(entity, old), new)
                return True
            former = before.renamed_from if before is not None and before.deleted else None
        return False

    async def _make_room(self, entity: EntityMapping, group: Group, old: Stored, record: CmmsRecord) -> bool:
        """Another record has this key now: the memory of the one before goes where that one went."""
        successor = record.renamed_to
        if successor is None or successor == group.key:
            return False  # it was deleted: the new record takes over its row
        there = await self._living(entity, successor)
        if there is None:
            return False
        new = (await self._ledger.read(entity.name, [there.key]))[there.key]
        if _taken_over(old.entry, there):
            return _put_off(group, old.entry)
        if _known(new.entry):
            return False
        if await self._move(entity, group, old, new):
            await self._router.resync(entity.name, [there.key], reason=f"renamed from {group.key}", source=SOURCE)
        return True

    async def _living(self, entity: EntityMapping, key: str) -> CmmsRecord | None:
        """The record at the end of a chain of renames, if it still exists."""
        following: str | None = key
        for _ in range(_STEPS):
            if following is None:
                return None
            record = (await self._cmms.by_key(entity, [following])).get(following)
            if record is None or not record.deleted:
                return record
            following = record.renamed_to
        return None

    async def _seen(self, entity: EntityMapping, old: Stored) -> Stored:
        """The memory with what became of creates under the old key, where Dynamics shows it."""
        now = self._clock.now()
        if not old.entry.intents or old.entry.live_intent(now):
            return old
        rows = (await self._dynamics.by_key(entity, [old.entry.key]))[old.entry.key]
        row = next((row for row in rows if row.key == old.entry.key), None)
        if row is None:
            return old
        creates = tuple(intent for intent in old.entry.intents if _creates_row(intent))
        others = tuple(intent for intent in old.entry.intents if not _creates_row(intent))
        settled = settle_intents(old.entry.model_copy(update={"intents": creates}), None, row, now)
        return old.model_copy(update={"entry": settled.model_copy(update={"intents": (*settled.intents, *others)})})

    async def _move(self, entity: EntityMapping, group: Group, old: Stored, new: Stored) -> bool:
        """Move the memory at once or not at all; else the group's messages are put off."""
        now = self._clock.now()
        for intent in (*old.entry.intents, *new.entry.intents):
            until = intent.expires_at + (LATEST_CREATE if _creates_row(intent) else timedelta())
            if until > now:
                held = IntentHeld(
                    f"A write to {old.entry.key} may be under way, and it is being renamed to {new.entry.key}.",
                    retry_after=until - now,
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


def moved_entries(old: Entry, new: Entry) -> tuple[Entry, Entry]:
    """What is left under the old key, and the memory under the new one; no conflict record is lost on the way."""
    left = Entry(key=old.key, moved_to=new.key, last_sync=old.last_sync)
    moved = old.model_copy(
        update={
            "key": new.key,
            "renamed_from": old.renamed_from or old.key,
            "intents": tuple(intent for intent in old.intents if not _creates_row(intent)),
            "conflicts": (*new.conflicts, *old.conflicts),
            "said": _newest(old, new),
            "parked": {},
        }
    )
    return left, moved


def _newest(old: Entry, new: Entry) -> dict[str, object]:
    said: dict[str, object] = dict(old.said)
    for name, value in new.said.items():
        known = old.said.get(name)
        if known is None or (known.at, known.sequence) < (value.at, value.sequence):
            said[name] = value
    return said


def _put_off(group: Group, entry: Entry) -> bool:
    """The memory's record is neither here nor where the key's last holder went: its own messages may yet tell."""
    if group.attempts >= PATIENCE:
        return False
    group.finish(Again(Conflict(f"The record that had the key {entry.key} has not been found under its new key yet.")))
    return True


def _creates_row(intent: Intent) -> bool:
    return intent.side == "dynamics" and intent.expected_etag is None


def _known(entry: Entry) -> bool:
    """Whether the ledger remembers more than that there was something once."""
    return bool(entry.dynamics_id or entry.bases or entry.intents)


def _taken_over(entry: Entry, record: CmmsRecord) -> bool:
    return entry.cmms_id is not None and record.id is not None and entry.cmms_id != record.id


def _same(entry: Entry, record: CmmsRecord, before: CmmsRecord | None) -> bool:
    """Whether the memory of the former key is this record's: by its identity, else by the former key's tombstone."""
    if entry.cmms_id is not None and record.id is not None:
        return entry.cmms_id == record.id
    return before is not None and before.deleted and before.renamed_to == record.key
