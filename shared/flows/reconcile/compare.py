"""A closer look at some records: snapshots as the engine takes them, and the engine's own decision about each."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.domain.decide import Snapshot
from shared.domain.decide.refused import ROWLESS
from shared.domain.link import Identity
from shared.domain.schema.mapping import EntityMapping
from shared.errors import LedgerUnreadable, MappingError
from shared.flows.ports.engine import Clock, Cmms, Dynamics, Ledger
from shared.flows.reconcile.drift import Drift, assess
from shared.flows.sync.snapshot import Snapshots
from shared.flows.sync.work import Work


@dataclass
class Comparison:
    """What became of the records asked for; those that agree are in none of the lists.

    `keys` names them for people. `unreadable` are rows of the ledger, `unreadable_records` records of the CMMS, whose
    form is not known.
    """

    keys: dict[Identity, str] = field(default_factory=dict)
    drift: dict[Identity, Drift] = field(default_factory=dict)
    unremembered: list[Identity] = field(default_factory=list)
    in_flight: list[Identity] = field(default_factory=list)
    unusable: list[Identity] = field(default_factory=list)
    unreadable: dict[Identity, LedgerUnreadable] = field(default_factory=dict)
    unreadable_records: dict[Identity, MappingError] = field(default_factory=dict)
    newest_sync: datetime | None = None


class Comparer:
    """Reads and assesses. A record touched less than `settle` ago may be on its way, and is no drift yet."""

    def __init__(self, ledger: Ledger, dynamics: Dynamics, cmms: Cmms, clock: Clock, settle: timedelta) -> None:
        self._snapshots = Snapshots(ledger, dynamics, cmms)
        self._dynamics = dynamics
        self._clock = clock
        self._settle = settle

    async def compare(
        self, entity: EntityMapping, identities: Collection[Identity], *, unmet: bool = True
    ) -> Comparison:
        """Compare records as they are now; without `unmet` those that the ledger does not know are passed over.

        Raises:
            TransientError: A side or the ledger could not be read.
        """
        result = Comparison()
        wanted = list(dict.fromkeys(identities))
        now = self._clock.now()
        taken = await self._snapshots.take(entity, [Work(identity) for identity in wanted], now)
        missing = await self._missing(entity, [one for one in taken if isinstance(one, Snapshot)])
        for identity, found in zip(wanted, taken, strict=True):
            match found:
                case LedgerUnreadable():
                    result.unreadable[identity] = found
                case MappingError():
                    result.unreadable_records[identity] = found
                case snapshot if not unmet and snapshot.stored.etag is None:
                    continue
                case snapshot if (name := _name(identity, snapshot)) not in result.keys:
                    self._look(entity, name, snapshot, now, result, missing=missing)
        return result

    async def _missing(self, entity: EntityMapping, snapshots: Sequence[Snapshot]) -> Collection[tuple[str, str]]:
        """The codes that parked lookups have and no row, by field: asked once for all, and only where there are any."""
        waiting = [one.cmms.values for one in snapshots if _rowless(one)]
        return (await self._dynamics.unresolved(entity, waiting)).keys() if waiting else ()

    def _look(
        self,
        entity: EntityMapping,
        identity: Identity,
        snapshot: Snapshot,
        now: datetime,
        result: Comparison,
        *,
        missing: Collection[tuple[str, str]],
    ) -> None:
        key = next((side.key for side in (snapshot.cmms, snapshot.row) if side.exists), snapshot.link.key)
        synced = snapshot.link.last_sync
        result.keys[identity] = key
        result.newest_sync = max((at for at in (synced, result.newest_sync) if at is not None), default=None)
        if not snapshot.cmms.exists and entity.key_error(key) is not None:
            result.unusable.append(identity)
            return
        have_rows = any((name, snapshot.cmms.values.get(name)) not in missing for name in _rowless(snapshot))
        found = assess(entity, snapshot, now, ROWLESS if have_rows else frozenset())
        if found == "in_flight" or (found is not None and self._moves(snapshot, now)):
            result.in_flight.append(identity)
        elif found == "unremembered":
            result.unremembered.append(identity)
        elif found is not None:
            result.drift[identity] = found

    def _moves(self, snapshot: Snapshot, now: datetime) -> bool:
        """Whether somebody touched the record so lately that a message may be on its way."""
        touched = (snapshot.link.last_sync, snapshot.cmms.changed_at, snapshot.row.modified)
        return any(at is not None and timedelta() <= now - at < self._settle for at in touched)


def _rowless(snapshot: Snapshot) -> list[str]:
    """The lookups that are parked because their codes had no row."""
    return [name for name, parked in snapshot.link.parked.items() if parked.reason in ROWLESS]


def _name(identity: Identity, snapshot: Snapshot) -> Identity:
    """One name for each record, by whichever side it was asked for."""
    if snapshot.cmms.id:
        return Identity("cmms", snapshot.cmms.id)
    return snapshot.stored.link.identities[0] if snapshot.stored.etag is not None else identity
