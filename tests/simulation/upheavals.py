"""What befalls the systems themselves at any moment: backups restored, columns secured, mappings edited, and such."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime
from random import Random

from local.emulators.dataverse.changes import Message
from local.emulators.dataverse.plugins import Behaviour, PlugIn
from shared.domain.link import Restored
from tests.simulation.backups import Backups
from tests.simulation.cmms_api import CmmsApi
from tests.simulation.currencies import Currencies
from tests.simulation.field_table import RETYPED
from tests.simulation.first_sync import FIRST_SYNC, FirstSync
from tests.simulation.observe import normal
from tests.simulation.people import People
from tests.simulation.process import world_time
from tests.simulation.references import REFERENCES, References
from tests.simulation.rules import FIRST, SECOND, Rules
from tests.simulation.tables import ALL_COLUMNS, FIELDS, KEY_COLUMNS, ONE_WAY, SPARE, TABLES
from tests.simulation.trace import Trace

KINDS = ("mapping", "secured", "idle", "dynamics restored", "cmms restored", "ledger restored", "mass", "brake")
CURRENCIES = "currency"
BESIDE = {CURRENCIES: "currencies", REFERENCES: "references"}
"""Played beside the others, each drawn by a generator of this name: a seed without it is the same run as before."""
OF_ONE_WAY = ("mapping", "secured", "idle", "dynamics restored", "ledger restored", "mass")
"""Without its API a CMMS that was restored cannot be told from one that was edited."""
_RESTORES = ("dynamics restored", "cmms restored", "ledger restored")
_OTHERS = ("mapping", "secured", "idle", "mass", "brake", CURRENCIES, REFERENCES)
_APP = "app-1"


def drawn(rng: Random, kinds: tuple[str, ...]) -> list[str]:
    """The upheavals of a run: none in half of the runs, one in most of the others, else two."""
    if rng.random() < 0.5:
        return []
    return rng.sample(kinds, 1 if rng.random() < 0.7 else 2)


def combined(seed: int, *, one_way: bool) -> list[str]:
    """Two or three upheavals that befall one run together, at least one restore among them."""
    rng = Random(f"combo {seed}")  # noqa: S311  # a seed must play the same again
    possible = {*OF_ONE_WAY, *BESIDE} if one_way else {*KINDS, *BESIDE}
    restores, others = ([one for one in kinds if one in possible] for kinds in (_RESTORES, _OTHERS))
    count = rng.choice([1, 1, 2])
    beside = rng.choice([1, 1, 2] if count == 1 else [0, 1])
    return [*rng.sample(restores, count), *rng.sample(others, beside)]


class Upheavals:
    """Plays the drawn ones. `settle` runs `ops restored`.

    `restart` starts all workers anew, as a release does, and ends what is under way to a side that is offline.
    """

    def __init__(
        self,
        backups: Backups,
        api: CmmsApi,
        people: People,
        rules: Rules,
        rng: Random,
        trace: Trace,
        *,
        restart: Callable[..., None],
        settle: Callable[[Restored], Awaitable[bool]],
        currencies: Currencies,
        references: References,
        first_sync: FirstSync,
        one_way: bool,
        rounding: bool,
    ) -> None:
        self.backups = backups
        self._conditions = backups.conditions
        self._dataverse = backups.dataverse
        self._history = backups.history
        self._api = api
        self._people = people
        self._rules = rules
        self._rng = rng
        self._trace = trace
        self._restart = restart
        self._settle = settle
        self._currencies = currencies
        self._references = references
        self._first_sync = first_sync
        self._one_way = one_way
        self._rounding = rounding

    async def work(self) -> None:
        """Play all of them."""
        plays: dict[str, Callable[[], Awaitable[None]]] = {
            "mapping": self._mapping,
            "secured": self._secured,
            "idle": self._idle,
            "dynamics restored": self._dynamics_restored,
            "cmms restored": self._cmms_restored,
            "ledger restored": self._ledger_restored,
            "mass": self._mass,
            "brake": self._brake,
            CURRENCIES: self._currencies.work,
            REFERENCES: self._references.work,
            FIRST_SYNC: self._first_sync.work,
        }
        await asyncio.gather(*(plays[kind]() for kind in self._conditions.played))

    async def _later(self, least: float, most: float) -> None:
        await asyncio.sleep(self._rng.uniform(least, most))

    async def _mapping(self) -> None:
        """Edit the mapping once to three times, while messages wait; the functions are started anew each time."""
        for _ in range(self._rng.randint(1, 3)):
            await self._later(5.0, 300.0)
            edits = [self._unmap, self._correct, self._retype, self._leave_orders_out]
            edits = edits if self._rules.referred else [self._move, *edits]
            edits += [] if self._rounding else [self._swap]
            self._started_with(self._rng.choice(edits)())
        if not self._rules.orders:
            await self._later(5.0, 300.0)
            self._started_with(self._leave_orders_out())
        if self._rules.unmapped and (self._one_way or self._rng.random() < 0.7):
            await self._later(5.0, 300.0)
            self._started_with(self._unmap())

    def _started_with(self, what: str) -> None:
        """Start the functions with the mapping; nothing tells of the records that it changes, but for a full pass."""
        self._restart(f"for a new mapping: {what}")
        if self._one_way and self._rules.orders and not self._rules.unmapped:
            self._people.announce_all()
        for entity, table in self.backups.cmms.tables.items():
            self._untold("cmms", {(entity, str(pk)) for pk in table.memories}, back=False)
        for entity, name in TABLES.items():
            self._untold("dynamics", {(entity, str(row.id)) for row in self._dataverse.tables[name]}, back=False)

    def _move(self) -> str:
        """Move a field to a column that may hold something already, or back."""
        name = "numero_de_serie"
        old = self._rules.columns[name]
        new = SPARE if old == ALL_COLUMNS[name] else ALL_COLUMNS[name]
        for row in list(self._dataverse.tables[TABLES["asset"]]):
            if self._rng.random() < 0.3:
                self._people.fill(row, new, self._people.value(name))
        self._recolumn({name: new})
        return f"{name} from {old} to {new}"

    def _swap(self) -> str:
        """Exchange the columns of two fields."""
        one, other = "valor_adquisicion", "valor_libros"
        self._recolumn({one: self._rules.columns[other], other: self._rules.columns[one]})
        return f"{one} and {other} exchange their columns"

    def _recolumn(self, columns: dict[str, str]) -> None:
        self._history.shelve(self._rules.columns)
        self._rules.columns |= columns
        self._rules.moved |= dict.fromkeys(columns, asyncio.get_running_loop().time())
        for name, column in columns.items():
            if column in self._conditions.closed:
                self._conditions.secured.add(name)
            if column in self._conditions.idle_columns:
                self._conditions.idle.add(("dynamics", name))
            rows = {str(row.id): normal(name, row.values[column]) for row in self._dataverse.tables[TABLES["asset"]]}
            self._history.meet_anew("asset", name)
            self._history.unshelve("asset", name, column, rows, asyncio.get_running_loop().time())

    def _unmap(self) -> str:
        """Take a field out of the mapping, or put the one that was taken out back in."""
        if self._rules.unmapped:
            name = self._rules.unmapped.pop()
            for entity in FIELDS:
                self._history.meet_anew(entity, name)
            return f"{name} is mapped again"
        name = self._rng.choice(("numero_de_serie", "valor_libros", "fecha_adquisicion", "total"))
        self._rules.unmapped.add(name)
        return f"{name} is not mapped"

    def _correct(self) -> str:
        """Correct the table of choices, or take the correction back."""
        self._history.meet_anew("order", "estado")
        self._rules.correct(SECOND if self._rules.choices is FIRST else FIRST)
        return "the table of states is corrected"

    def _retype(self) -> str:
        """Give a field another scale or type, which takes the same values, or its own again."""
        name = self._rng.choice(sorted(RETYPED))
        self._rules.retyped ^= {name}
        self._history.meet_anew("asset", name)
        return f"{name} has {RETYPED[name][name in self._rules.retyped]}"

    def _leave_orders_out(self) -> str:
        """Take all orders out of the mapping, or put them back in."""
        self._rules.orders = not self._rules.orders
        self._conditions.orderless = True
        return f"orders are {'' if self._rules.orders else 'not '}mapped"

    async def _secured(self) -> None:
        """Close a column to our user; in most runs an administrator opens it again."""
        await self._later(5.0, 300.0)
        name = self._rng.choice(("numero_de_serie", "valor_libros", "fecha_adquisicion", "total"))
        entity = next(entity for entity, names in FIELDS.items() if name in names)
        column = self._dataverse.tables[TABLES[entity]].table.columns[self._rules.columns[name]]
        everything = frozenset({"read", "update", "create"})
        ours = self._rng.choice((frozenset(), everything - {"read"}))
        column.permissions = {"person-1": everything, _APP: ours}
        self._conditions.secured.add(name)
        self._conditions.closed.add(column.name)
        self._conditions.unreadable.add(column.name)
        known = set(self._rows(entity))
        self._trace("upheaval", f"{column.name} is secured, and we may {', '.join(sorted(ours)) or 'do nothing'}")
        if self._rng.random() < 0.7 and not self._conditions.stale:
            await self._later(20.0, 400.0)
            # A look that is under way then may take a null that it read before for one that it may read.
            self._restart("before a secured column is opened")
            column.permissions = None
            self._conditions.unreadable.discard(column.name)
            self._history.meet_in(entity, name, set(self._rows(entity)) - known)
            # What was edited meanwhile tells nobody that it can be read now.
            self._people.untold |= {("dynamics", entity, row) for row in self._rows(entity)}
            self._trace("upheaval", f"{column.name} is open again")

    async def _idle(self) -> None:
        """Let writes of one field have no effect, for some time or for good."""
        await self._later(0.0, 200.0)
        if self._one_way or self._rng.random() < 0.6:
            name = self._rng.choice(("numero_de_serie", "valor_adquisicion", "fecha_adquisicion", "total"))
            entity = next(entity for entity, names in FIELDS.items() if name in names)
            rule = PlugIn(
                Behaviour.IGNORE, table=TABLES[entity], column=self._rules.columns[name], messages=(Message.UPDATE,)
            )
            self._dataverse.plug_ins.append(rule)
            self._conditions.idle.add(("dynamics", name))
            self._conditions.idle_columns.add(str(rule.column))
            self._trace("upheaval", f"dynamics takes writes of {rule.column} without effect")
            if self._rng.random() < 0.5:
                await self._later(20.0, 300.0)
                self._dataverse.plug_ins.remove(rule)
                self._trace("upheaval", f"dynamics takes writes of {rule.column} again")
            return
        name = self._rng.choice([name for name in FIELDS["asset"] if name not in ONE_WAY])
        self._api.idle.add(name)
        self._conditions.idle.add(("cmms", name))
        self._trace("upheaval", f"the CMMS takes writes of {name} without effect")
        if self._rng.random() < 0.5:
            await self._later(20.0, 300.0)
            self._api.idle.discard(name)
            self._trace("upheaval", f"the CMMS takes writes of {name} again")

    async def _dynamics_restored(self) -> None:
        await self._later(5.0, 200.0)
        backup, at = self.backups.of_dynamics(), world_time()
        await self._later(20.0, 300.0)
        counts_up = self._rng.random() < 0.5
        if counts_up:
            self._raise_versions(self._dataverse.snapshot().version + 5, self._rows())
            await self._later(60.0, 150.0)
        # An organization is offline while it is restored. A row's version may be there a second time after that: a
        # write of before would meet its own condition on another state.
        self._restart("for the restore of Dynamics", "dynamics")
        self._rules.restored = True
        self._conditions.highest = self._dataverse.snapshot().version
        changed = self.backups.restore_dynamics(backup, asyncio.get_running_loop().time())
        if self._rules.referred:
            self._references.put_back()
        self._untold("dynamics", changed)
        self._trace("upheaval", f"dynamics is restored from a backup: {len(changed)} rows changed")
        await asyncio.gather(self._say("dynamics", at), *([self._count_up()] if counts_up else []))

    async def _count_up(self) -> None:
        """Edit until row versions are as high as before the restore, or as a link saw its row, then what went back.

        The version of such a row alone tells nothing any more.
        """
        await self._later(200.0, 500.0)
        rewound = {row for entity, row in self._conditions.rewound["dynamics"] if entity == "asset"}
        others = [row for row in self._rows() if row not in rewound]
        for row in sorted(rewound.intersection(self._rows())):
            link = self.backups.ledger.link_of_row("asset", row)
            seen = link.seen.row_version if link is not None else None
            self._raise_versions(self._rng.choice((seen or 0, self._conditions.highest)), others)
            self._people.change("asset", row, {self._rules.columns["nombre"]: self._people.value("nombre")})

    def _rows(self, entity: str = "asset") -> list[str]:
        return [str(row.id) for row in self._dataverse.tables[TABLES[entity]]]

    def _raise_versions(self, to: int, rows: list[str]) -> None:
        """Have people edit a column that is no field's, in any of these rows, until the counter has come so far."""
        while rows and self._dataverse.snapshot().version < to:
            self._people.change("asset", self._rng.choice(rows), {SPARE: self._people.value("nombre")})

    async def _cmms_restored(self) -> None:
        await self._later(5.0, 200.0)
        backup, at = self.backups.of_cmms(), world_time()
        await self._later(20.0, 300.0)
        self._restart("for the restore of the CMMS")
        self._rules.restored = True
        living, before = self.backups.living(), self.backups.revisions()
        changed = self.backups.restore_cmms(backup, asyncio.get_running_loop().time())
        self._untold("cmms", changed)
        for entity, record in changed:
            # A row that waited for a key which is free by now.
            self._untold("dynamics", self._rows_of(entity, self._history.keys["cmms", entity, record]), back=False)
        self._trace(
            "upheaval", f"the CMMS is restored from a backup, with {len(changed)} records otherwise than before"
        )
        goes_on = not self._one_way and self._rng.random() < 0.5
        await asyncio.gather(self._say("cmms", at), *([self._go_on(living, before)] if goes_on else []))

    async def _go_on(self, living: Collection[tuple[str, str]], before: Mapping[tuple[str, str], int]) -> None:
        """Edit what went back more often than before the restore, so that its number of changes tells nothing."""
        for entity, name in sorted(self._conditions.rewound["cmms"].intersection(living)):
            await self._later(1.0, 60.0)
            lost = before[entity, name] - self.backups.revisions().get((entity, name), 0)
            for _ in range(lost + 1):
                self._people.go_on(entity, int(name))

    def _rows_of(self, entity: str, keys: set[str]) -> set[tuple[str, str]]:
        """The rows with one of these keys."""
        rows = self._dataverse.tables[TABLES[entity]]
        return {(entity, str(row.id)) for row in rows if row.values[KEY_COLUMNS[entity]] in keys}

    async def _ledger_restored(self) -> None:
        await self._later(5.0, 200.0)
        backup, at = self.backups.ledger.backup(), world_time()
        await self._later(20.0, 300.0)
        self._restart("for the restore of the ledger")
        changed = self.backups.restore_ledger(backup, asyncio.get_running_loop().time())
        self._currencies.forget()
        for side, entity, name in changed:
            self._untold(side, {(entity, name)})
        self._trace(
            "upheaval", f"the ledger is restored from a backup, with {len(changed)} links otherwise than before"
        )
        if self._one_way:
            self._people.announce_all()
        await self._say("ledger", at)

    async def _say(self, side: Restored, at: datetime) -> None:
        """In some runs an operator says what was restored, while everything goes on; in others nobody knows it yet."""
        if self._rng.random() < 0.4:
            return
        await self._later(0.0, 200.0)
        self._conditions.said[side] = at
        for _ in range(3):
            if await self._settle(side):
                return
            await self._later(5.0, 60.0)

    async def _mass(self) -> None:
        """Empty one field in very many records at once, as an import of the wrong file does."""
        await self._later(0.0, 60.0)
        keys = self._people.load(self._rng.randint(20, 26), silent=False)
        await self._later(60.0, 200.0)
        self._conditions.mass = True
        side = "cmms" if self._one_way or self._rng.random() < 0.5 else "dynamics"
        name = self._rng.choice(("numero_de_serie", "fecha_adquisicion"))
        self._trace("upheaval", f"{name} is emptied in {len(keys)} records of {side} at once")
        for key in keys:
            self._people.empty("asset", key, name, in_cmms=side == "cmms")

    async def _brake(self) -> None:
        """Load very many records into the CMMS without a message, so that only the timer finds them."""
        await self._later(0.0, 200.0)
        self._people.load(self._rng.randint(55, 65), silent=True)

    def _untold(self, side: str, changed: set[tuple[str, str]], *, back: bool = True) -> None:
        """Nothing tells of these; `back` where a backup took them back."""
        self._people.untold |= {(side, entity, name) for entity, name in changed}
        for entity, name in changed if back else ():
            self._history.meet_again(entity, [name])
