"""After a backup was restored: which records it took back, and having each of them settled as an operator says.

The operator's word is stored in each record's link, by compare-and-swap, before a message has the record looked at: so
it counts for whichever message comes first, and an interrupted run is gone on with by the next one.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from copy import replace
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import batched
from typing import Final
from uuid import uuid4

from shared.domain.blocked import RECORD
from shared.domain.decide import Context, Plan, Snapshot, decide
from shared.domain.decide.older import gone_back, was_edited_after_a_restore
from shared.domain.decide.situation import WAITING
from shared.domain.link import Identity, Link, ParkedField, Restored, Stored
from shared.domain.model import Side, is_before, is_until
from shared.domain.schema.mapping import EntityMapping
from shared.errors import RecordGone, RecordMissing, RowReplaced, WentBack
from shared.flows.operate.mapping_plan import EXAMPLES, Effect
from shared.flows.ports.engine import Clock, Cmms, Dynamics, Ledger
from shared.flows.reconcile.drift import differences
from shared.flows.reconcile.report import EntityReport
from shared.flows.reconcile.sweep import Sweep
from shared.flows.routing.route import Router
from shared.flows.sync.snapshot import Snapshots
from shared.flows.sync.work import Work

REASONS: Final = frozenset(error.reason for error in (WentBack, RecordGone, RecordMissing, RowReplaced))
"""Why messages of records that a restore took back were parked: once a record is settled they may be replayed."""
OVERLAP: Final = timedelta(minutes=15)
"""How much earlier than a backup's instant records are looked at: clocks differ, and a backup takes its time."""
_CHUNK: Final = 500
_AT_ONCE: Final = 50
_TRIES: Final = 5


@dataclass
class Taken:
    """What a restore took back of one entity.

    `records` are to be settled, by identity, with their keys; `keys` are all that these records and those of `lost`
    have on a side or in the ledger, by which their parked messages are found. `lost` are rows whose records the CMMS no
    longer has: each lets go of its old record, and is met as a new row. `intact` are those of the records of which the
    backup lacks nothing: their rows were only edited since the restore. `held` are records about which no word tells
    anything: they wait for a person. `busy` records are being written right now. `effects` tell what becomes of which
    fields, and what needs a person.
    """

    entity: EntityMapping
    looked_at: int = 0
    records: dict[Identity, str] = field(default_factory=dict)
    lost: dict[Identity, str] = field(default_factory=dict)
    intact: set[Identity] = field(default_factory=set)
    held: dict[Identity, str] = field(default_factory=dict)
    busy: list[str] = field(default_factory=list)
    for_people: list[str] = field(default_factory=list)
    effects: dict[tuple[str, str], Effect] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)

    @property
    def work(self) -> dict[Identity, str]:
        """Whatever is to be marked and looked at, with its keys."""
        return {**self.lost, **self.records, **self.held}

    def tell(self, name: str, what: str, key: str, cmms: str | None, dynamics: str | None) -> None:
        """Count one field of one record."""
        effect = self.effects.setdefault((name, what), Effect(self.entity.name, name, what))
        effect.count += 1
        if len(effect.examples) < EXAMPLES:
            effect.examples.append((key, cmms, dynamics))


class Restore:
    """Looks for what a restore took back, and has it settled."""

    def __init__(self, *, ledger: Ledger, dynamics: Dynamics, cmms: Cmms | None, router: Router, clock: Clock) -> None:
        self._ledger = ledger
        self._dynamics = dynamics
        self._cmms = cmms
        self._router = router
        self._clock = clock
        self._snapshots = Snapshots(ledger, dynamics, cmms)

    async def look(
        self, entity: EntityMapping, side: Restored, at: datetime, progress: Callable[[int], None] = lambda _: None
    ) -> Taken:
        """Find the records that a restore of `side` to the state of `at` took back; nothing is written.

        Raises:
            TransientError: A side or the ledger could not be read.
        """
        taken = Taken(entity)
        since = at - OVERLAP
        async for works in self._works(entity, side, since):
            now = self._clock.now()
            for found in await self._snapshots.take(entity, works, now):
                if isinstance(found, Snapshot):
                    self._judge(taken, found, side, since)
            taken.looked_at += len(works)
            progress(len(works))
        return taken

    async def _works(self, entity: EntityMapping, side: Restored, since: datetime) -> AsyncIterator[Sequence[Work]]:
        """What may be affected: of a restored ledger whatever it does not expect, else what was agreed since then."""
        if side == "ledger" and self._cmms is not None:
            sweep = Sweep(self._ledger, self._dynamics, self._cmms, entity)
            async for identities in sweep.candidates(EntityReport(entity.name)):
                yield [Work(identity) for identity in identities]
            return
        async for page in self._ledger.scan(entity.name):
            links = [link for link in page if isinstance(link, Link) and _may_be_affected(link, since)]
            for some in batched(links, _CHUNK, strict=False):
                yield [Work(link.identities[0]) for link in some]

    def _judge(self, taken: Taken, snapshot: Snapshot, side: Restored, since: datetime) -> None:
        link, cmms, row = snapshot.stored.link, snapshot.cmms, snapshot.row
        key = next((one.key for one in (cmms, row) if one.exists), link.key)
        identity = _identity(snapshot)
        expected = snapshot.stored.etag is not None and not gone_back(snapshot)
        if side == "ledger" and expected and not _changed(snapshot, since):
            return
        if side == "cmms" and (problem := _beyond(snapshot, since)) is not None:
            taken.held[identity] = key
            taken.for_people.append(key)
            taken.tell(RECORD, problem, key, cmms.key or None, row.key or None)
            return
        if side == "cmms" and row.exists and not cmms.exists and link.cmms_id is not None and link.deleted_at is None:
            taken.lost[Identity("row", row.id)] = key
            taken.keys |= _keys(snapshot)
            taken.tell(RECORD, "created in the CMMS again, under a new id", key, None, row.key)
            return
        if _is_intact(snapshot, side, since):
            taken.records[identity] = key
            taken.keys |= _keys(snapshot)
            taken.intact.add(identity)
            taken.tell(RECORD, "edited since the restore alone: synchronized as usual", key, cmms.key, row.key)
            return
        told = replace(snapshot, link=snapshot.link.model_copy(update={"restored": side}))
        context = Context(taken.entity, self._clock.now(), one_way=self._cmms is None, attempts=WAITING)
        plan = decide(told, context)
        if not isinstance(plan, Plan):
            taken.busy.append(key)
            return
        # What the ledger remembers is what the sides show, under its own bases or once both have met again.
        kept = plan.link.model_copy(update={"restored": link.restored}).same_as(link)
        right = expected and (kept or dict(plan.merged.bases) == link.bases)
        if any(block.field == RECORD for block in plan.blocked):
            taken.for_people.append(key)
        elif not (
            plan.writes
            or link.unrecorded(plan.merged.conflicts)
            or link.restored
            or side in gone_back(snapshot)
            or (side == "ledger" and not right)
        ):
            return
        else:
            taken.records[identity] = key
            taken.keys |= _keys(snapshot)
        for one in differences(taken.entity, plan, told):
            taken.tell(one.field, one.plan, key, one.cmms, one.dynamics)

    async def settle(
        self, taken: Taken, side: Restored, *, rate: float, progress: Callable[[int], None] = lambda _: None
    ) -> None:
        """Store the operator's word in each record's link, and have the record looked at; at most `rate` a second.

        What people edit in a restored side from then on is an edit, of whichever record.

        Raises:
            RoutingFailed: The queue failed; what was counted is enqueued.
            TransientError: The ledger could not be written.
        """
        source = f"/ops/restored/{uuid4()}"
        started, done = self._clock.monotonic(), 0
        prefer: Side | None = {"cmms": "dynamics", "dynamics": "cmms", "ledger": None}[side]
        why = f"{side} was restored from a backup"
        for chunk in batched(taken.work.items(), max(1, min(_AT_ONCE, int(rate))), strict=False):
            await self._clock.sleep(max(0.0, started + done / rate - self._clock.monotonic()))
            some = dict(chunk)
            lost = {name: some[name] for name in some.keys() & taken.lost.keys()}
            # A row that was let go is a new one, which no later run tells from others: so its message goes first, and
            # waits until the row has been let go.
            if lost:
                await self._router.resync(taken.entity.name, lost, reason=why, source=source, prefer=prefer)
            await self._mark(taken, some, side)
            # A row that shows a write of ours is nobody's, until an operator says that a record is to be made of it.
            if lost:
                await self._router.resync(
                    taken.entity.name, lost, reason=why, source=source, operation="recreate", prefer=prefer
                )
            rest = {name: some[name] for name in some.keys() - lost.keys()}
            if rest:
                await self._router.resync(taken.entity.name, rest, reason=why, source=source, prefer=prefer)
            done += len(some)
            progress(len(some))
        if side != "ledger":
            await self._snapshots.watch.forget(taken.entity.name, side)

    async def _mark(self, taken: Taken, records: Mapping[Identity, str], side: Restored) -> None:
        open_ = set(records)
        for _ in range(_TRIES):
            found = await self._ledger.find(taken.entity.name, open_)
            links = {name: stored for name, stored in found.items() if isinstance(stored, Stored)}
            names = list(links)
            wanted = [
                stored.model_copy(update={"link": self._marked(stored.link, side, taken, name)})
                for name, stored in links.items()
            ]
            results = await self._ledger.write(taken.entity.name, wanted)
            open_ = {name for name, result in zip(names, results, strict=True) if result is None}
            if not open_:
                return

    def _marked(self, link: Link, side: Restored, taken: Taken, name: Identity) -> Link:
        if name in taken.lost:
            return link.without_row.model_copy(update={"deleted_at": self._clock.now()})
        if name in taken.held:
            return _held(link)
        return _released(link, side) if name in taken.intact else link.model_copy(update={"restored": side})


def _identity(snapshot: Snapshot) -> Identity:
    named = snapshot.stored.link.identities
    if snapshot.stored.etag is None and snapshot.cmms.exists:
        return Identity("cmms", snapshot.cmms.id)
    return named[0]


def _keys(snapshot: Snapshot) -> set[str]:
    """Every key under which the record's messages may be parked: it may have been renamed since."""
    return {snapshot.stored.link.key, snapshot.cmms.key, snapshot.row.key} - {""}


def _may_be_affected(link: Link, since: datetime) -> bool:
    held = link.park_of(RECORD).reason in REASONS
    return held or link.restored is not None or (link.last_sync is not None and link.last_sync >= since)


def _is_intact(snapshot: Snapshot, side: Restored, since: datetime) -> bool:
    """Whether the link saw a row or record last before the backup, and it was edited since the restore alone."""
    seen = snapshot.link.seen
    before = {"dynamics": seen.row_modified, "cmms": seen.cmms_version}
    return side != "ledger" and is_before(before[side], since) and was_edited_after_a_restore(snapshot, side)


def _released(link: Link, side: Restored) -> Link:
    """The link without its doubt about a side: what was agreed counts, and the side's edits are edits."""
    unseen = ("row_version", "row_modified") if side == "dynamics" else ("cmms_version", "cmms_revision")
    seen = link.seen.model_copy(update=dict.fromkeys(unseen))
    parked = {name: park for name, park in link.parked.items() if (name, park.reason) != (RECORD, WentBack.reason)}
    return link.model_copy(update={"seen": seen, "parked": parked})


def _held(link: Link) -> Link:
    """The link held back as `went_back`: once a word is given, nothing else tells of the restore any more."""
    known = link.park_of(RECORD)
    # A new park has the next look at the record set a message aside.
    park = known if known.reason == WentBack.reason else ParkedField(side="cmms", digest="", reason=WentBack.reason)
    return link.model_copy(update={"restored": None, "parked": {**link.parked, RECORD: park}})


def _changed(snapshot: Snapshot, since: datetime) -> bool:
    """Whether a side was changed since an instant, or does not say when."""
    return any(moment is None or moment >= since for moment in (snapshot.cmms.changed_at, snapshot.row.modified))


def _beyond(snapshot: Snapshot, since: datetime) -> str | None:
    """Why a record of a restored CMMS is for a person alone."""
    link, cmms, row = snapshot.stored.link, snapshot.cmms, snapshot.row
    if not cmms.living:
        return None
    if link.deleted_at is not None and "cmms" in gone_back(snapshot):
        return "for a person: it was deleted in the CMMS since the backup, and is back there: delete it again"
    # Another record with a lost one's id is newer than what was seen of the lost one since the backup, and bears a key
    # that the lost one never had. A row alone that has another key was renamed by a person.
    newer = is_until(since, link.seen.cmms_version) and is_before(link.seen.cmms_version, cmms.changed_at)
    if newer and row.exists and cmms.key not in {row.key, link.key}:
        return "for a person: the CMMS may have given the id of a lost record to another one: compare both"
    return None
