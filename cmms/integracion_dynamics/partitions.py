"""Which relay sends which messages: each record belongs to one of 16 partitions, and each partition to one relay.

Relays share the partitions evenly, by leases in `Relevo`: one row by which the others count a relay, and one for each
partition that it holds. A record's messages are all in one partition, so they leave in order however many relays work.
A relay that another joins gives up its surplus at its next pass; the leases of a relay that died expire.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet

from .database import after_deadlocks, database_now
from .models import Relevo

PARTITIONS = 16
LEASE = timedelta(seconds=15)
_PARTITION = "outbox:"
_RELAY = "relevo:"
_NAMES = {f"{_PARTITION}{number:02}": number for number in range(PARTITIONS)}


def partition_of(entity: str, record: str) -> int:
    """The partition of a record's messages: the same for each of them, whatever becomes of the record's key."""
    return zlib.crc32(f"{entity}\0{record}".encode()) % PARTITIONS


def relays_at_work(using: str) -> list[Relevo]:
    """The rows of the relays that work now, in a fixed order."""
    at_work = Relevo.objects.using(using).filter(nombre__startswith=_RELAY, vence__gt=database_now(using))
    return list(at_work.order_by("nombre"))


@dataclass
class Partitions:
    """The partitions that one relay holds; `using` is the database alias of the outbox, `holder` names the relay."""

    using: str
    holder: str
    held: frozenset[int] = frozenset()

    def take(self) -> frozenset[int]:
        """Hold this relay's even share of the partitions, as far as the others have let go of it.

        Returns:
            The numbers of the partitions held: none where there are more relays than partitions, or where another
            relay has not yet made its next pass since this one came.
        """
        self.held = after_deadlocks(self._take)
        return self.held

    def keep(self) -> bool:
        """Renew the leases; False if one was lost, as after this process stood still: then nothing more may be sent."""
        return self._renew(database_now(self.using))

    def release(self) -> None:
        """Let the other relays have the partitions at once."""
        self._leases().filter(titular=self.holder).delete()
        self.held = frozenset()

    def _take(self) -> frozenset[int]:
        now = database_now(self.using)
        until = now + LEASE
        leases = self._leases()
        if not self._renew(now):
            leases.bulk_create([Relevo(nombre=self._own_row, titular=self.holder, vence=until)], ignore_conflicts=True)
        alive = dict(leases.filter(vence__gt=now).values_list("nombre", "titular"))
        mine = sorted(name for name in _NAMES if alive.get(name) == self.holder)
        share = self._share(alive)
        if surplus := mine[share:]:
            leases.filter(nombre__in=surplus, titular=self.holder).delete()
        free = [name for name in _NAMES if name not in alive]
        if wanted := free[: max(0, share - len(mine))]:
            leases.filter(vence__lte=now).delete()
            claims = [Relevo(nombre=name, titular=self.holder, vence=until) for name in wanted]
            leases.bulk_create(claims, ignore_conflicts=True)
            mine = list(leases.filter(nombre__in=_NAMES, titular=self.holder).values_list("nombre", flat=True))
        return frozenset(_NAMES[name] for name in mine[:share])

    def _share(self, alive: dict[str, str]) -> int:
        """How many partitions are this relay's: all relays that see the same others come to shares that add up."""
        relays = sorted({*(name for name in alive if name.startswith(_RELAY)), self._own_row})
        each, more = divmod(PARTITIONS, len(relays))
        return each + (relays.index(self._own_row) < more)

    def _renew(self, now: datetime) -> bool:
        names = [self._own_row, *(name for name, number in _NAMES.items() if number in self.held)]
        renewed = self._leases().filter(nombre__in=names, titular=self.holder).update(vence=now + LEASE)
        return renewed == len(names)

    @property
    def _own_row(self) -> str:
        return _RELAY + hashlib.sha256(self.holder.encode()).hexdigest()[:32]

    def _leases(self) -> QuerySet[Relevo]:
        # Never the other rows of the table: one is the lock that gives out positions.
        ours = Q(nombre__startswith=_PARTITION) | Q(nombre__startswith=_RELAY)
        return Relevo.objects.using(self.using).filter(ours)
