"""One run: both sides, bus, ledger, workers that die and come back, people, weather; then rest and judgement."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from copy import replace
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from uuid import UUID

import httpx

from local.emulators.dataverse import Dataverse, SystemUser, create_app
from local.emulators.dataverse.changes import Change
from local.emulators.dataverse.schema import Table
from local.emulators.dataverse.tables import customer_asset, sales_order
from local.emulators.identity import mint_token
from shared.domain.link import Seen
from shared.domain.words import plural
from shared.flows.sync.lanes import LANE
from tests.simulation.at_rest import LastLook, Quiet
from tests.simulation.backups import STAMP, Backups
from tests.simulation.cmms_api import CmmsApi
from tests.simulation.cmms_model import QUEUES, CmmsModel, Step
from tests.simulation.conditions import Conditions
from tests.simulation.currencies import Currencies
from tests.simulation.edits import Cell
from tests.simulation.field_table import edited
from tests.simulation.first_sync import FIRST_SYNC, FirstSync
from tests.simulation.history import History
from tests.simulation.loop import run
from tests.simulation.machines import Machines
from tests.simulation.observe import Observer
from tests.simulation.operator import Operator
from tests.simulation.people import People
from tests.simulation.process import Process, world_time
from tests.simulation.queues import Queues
from tests.simulation.references import REFERENCES, References
from tests.simulation.relay import Relay
from tests.simulation.restored_command import RestoredCommand
from tests.simulation.resumption import Resumption
from tests.simulation.rules import Rules
from tests.simulation.sent import SENT
from tests.simulation.stale import Past
from tests.simulation.tables import COLUMNS, ROUNDED, TABLES
from tests.simulation.timer import Timer
from tests.simulation.trace import Trace
from tests.simulation.upheavals import BESIDE, CURRENCIES, KINDS, OF_ONE_WAY, Upheavals, drawn
from tests.simulation.watched_ledger import WatchedLedger
from tests.simulation.weather import Weather, draw_weather
from tests.simulation.webhooks import Webhooks
from tests.simulation.wire import Outage, Server, Wire
from tests.simulation.worker import CMMS_TOKEN, DYNAMICS_URL, Parts, Worker

SIGNING_KEY = "the-signing-key-of-the-simulation-000"
MOST_OF_A_DAY = 17.0
SPLIT = 0.25
"""The part of the runs in which small batches are split into lanes, as large ones are."""


def _tables(*, rounding: bool) -> list[Table]:
    """Dynamics' tables; `rounding` where an administrator took digits from a column."""
    tables = [customer_asset(), sales_order()]
    digits = {COLUMNS[name]: number for name, number in ROUNDED.items()} if rounding else {}
    for table in tables:
        table.columns.update(
            {
                name: replace(table.columns[name], precision=digits[name])
                for name in digits.keys() & table.columns.keys()
            }
        )
    return tables


def _drawn_lane(seed: int) -> int:
    """The records of a lane, drawn beside all else: a seed whose batches are not split is the same run as before."""
    rng = Random(f"{seed} lanes")  # noqa: S311  # repeatable, not secret
    return rng.choice((1, 2)) if rng.random() < SPLIT else LANE


@dataclass
class Result:
    """How a run ended; `violations` empty means well."""

    seed: int
    violations: list[str]
    trace: Trace
    sent: int = 0
    links: list[str] = field(default_factory=list)


class World:
    """Everything that a seed decides."""

    def __init__(
        self,
        seed: int,
        parts: Parts,
        weather: Weather | None = None,
        *,
        one_way: bool = False,
        upheavals: Sequence[str] | None = None,
    ) -> None:
        self.rng = Random(seed)  # noqa: S311  # repeatable, not secret
        self.one_way, self._lane = one_way, _drawn_lane(seed) if upheavals is None else LANE
        self.weather = weather or draw_weather(self.rng)
        self.parts = parts
        self.trace = Trace(asyncio.get_running_loop().time)
        self.outages = {"dynamics": Outage(), "cmms": Outage()}
        self.stragglers: set[asyncio.Task[None]] = set()
        self.queues = Queues(self.weather, self.rng.getrandbits(32))
        self.ledger = WatchedLedger(self._paired)
        users = SystemUser.of("Integration", "app-1"), SystemUser.of("Person", "person-1")
        ids = Random(self.rng.getrandbits(32))  # noqa: S311  # as above
        choices = Random(f"{seed} first sync")  # noqa: S311  # as above
        first_sync = choices.random() < 0.06 and not one_way if upheavals is None else FIRST_SYNC in upheavals
        # A first sync refuses to begin where Dynamics would round.
        rounding = self.rng.random() < 0.25 and not first_sync
        self.dataverse = Dataverse(
            tables=_tables(rounding=rounding),
            users=users,
            clock=world_time,
            ids=lambda: UUID(int=ids.getrandbits(128), version=4),
            dop_hint=4,
        )
        self._dynamics = httpx.ASGITransport(
            create_app(self.dataverse, signing_key=SIGNING_KEY, audiences=[DYNAMICS_URL])
        ).handle_async_request
        self._token = mint_token(
            SIGNING_KEY, resource=DYNAMICS_URL, client_id="app-1", now=world_time(), lifetime=timedelta(days=30)
        )
        self.cmms = CmmsModel(world_time, Random(self.rng.getrandbits(32)))  # noqa: S311  # as above
        self.cmms.partial = one_way and self.rng.random() < 0.5
        self._cmms_api = CmmsApi(self.cmms, CMMS_TOKEN, strict=self.rng.random() < 0.25)
        self.rules = Rules()
        self.history = History(self._on_record, self.ledger.agreed, self.rules, only_told=one_way)
        self.observer = Observer(
            self.history,
            self.cmms,
            users[0].id,
            self.trace,
            bound=self.ledger.bound,
            row_of=self.ledger.row_of,
            obeys=self.ledger.obeys,
            bare=self._is_bare,
        )
        self.dataverse.subscribers.append(self._changed)
        self.cmms.watchers.insert(0, self._adopted)
        self.people = People(self.cmms, self.dataverse, users[1], self.rng, self.trace, self.rules, announced=one_way)
        self._machines = Machines(self._worker, self.weather, self.rng, self.trace, self.stragglers)
        self._webhooks = Webhooks(self.dataverse, self._machines.workers, self.weather, self.rng, self.trace)
        self._quiet = Quiet(self.outages, self._webhooks, self.stragglers, self.queues, self.cmms)
        self._timer = Timer(self._machines.workers, self.ledger, self.history, self.trace, rest=self._quiet)
        self._operator = Operator(self.queues, self.rng, self.trace, self._replayed)
        # Of its own, so that a seed without upheavals is the same run as before there were any.
        rng = Random(f"{seed} upheavals")  # noqa: S311  # as above
        self.conditions = Conditions(stale=self.weather.stale > 0)
        beside = {kind: Random(f"{seed} {name}") for kind, name in BESIDE.items()}  # noqa: S311  # as above
        also = [kind for kind, choosing in beside.items() if choosing.random() < 0.1]
        own = [*drawn(rng, OF_ONE_WAY if one_way else KINDS), *also]
        self.conditions.played = list(upheavals if upheavals is not None else [FIRST_SYNC] if first_sync else own)
        self._currencies = Currencies(
            self.dataverse,
            self.ledger,
            self.people,
            self.history,
            self.conditions,
            self.rules,
            beside[CURRENCIES],
            self.trace,
        )
        if CURRENCIES in self.conditions.played:
            self._currencies.install(self.cmms)
        self._references = References(
            self.dataverse,
            self.cmms,
            self.people,
            self.rules,
            self.conditions,
            beside[REFERENCES],
            self.trace,
            self.stragglers,
        )
        self._references.install()
        self._first_sync = FirstSync(
            self.people,
            self._webhooks,
            self._machines.workers,
            self.ledger,
            self.history,
            self.observer,
            choices,
            self.trace,
            sweep=self._timer.sweep,
            rest=self._quiet,
        )
        self._resumption = Resumption(
            Backups(self.dataverse, self.cmms, self.ledger, self.history, self.observer, self.conditions)
        )
        self._restored = RestoredCommand(
            self._machines.workers, self.conditions, self.history, self.observer, self.trace, rest=self._quiet
        )
        self._upheavals = Upheavals(
            self._resumption.backups,
            self._cmms_api,
            self.people,
            self.rules,
            rng,
            self.trace,
            restart=self._machines.restart,
            settle=self._restored.say,
            currencies=self._currencies,
            references=self._references,
            first_sync=self._first_sync,
            one_way=one_way,
            rounding=rounding,
        )
        self.last_look = LastLook(
            self._quiet,
            self._timer,
            self._webhooks,
            self.people,
            self._first_sync,
            self.queues,
            self.cmms,
            self.dataverse,
            self.ledger,
            self.history,
            self.observer,
            self.conditions,
            self._machines.workers,
            one_way=self.one_way,
        )
        self.pasts = Past(self.weather, self.rng, self._lagged), Past(self.weather, self.rng, lambda *_: None)
        if first_sync:
            self._first_sync.fill()

    async def live(self) -> list[str]:
        """Play everything and judge."""
        if self._lane < LANE:
            self.trace("weather", f"batches are split into lanes of {plural(self._lane, 'record')}")
        self._outages()
        self._machines.start(self.rng.randint(1, 3))
        relay = asyncio.create_task(Relay(self.cmms, self.queues, self.weather, self.rng).work())
        if self.rng.random() < 0.5 and not (self.one_way or FIRST_SYNC in self.conditions.played):
            await asyncio.sleep(1.0)
            await self._timer.sweep()  # from here on the timer's next pass needs only to look at what changed
        operator = asyncio.create_task(self._operator.work())
        upheavals = asyncio.create_task(self._upheavals.work())
        await self.people.work(self.rng.randint(6, 26))
        await upheavals
        await asyncio.sleep(self.rng.choice((0.0, 60.0, 900.0)))
        if self.rng.random() < 0.3 and not self.one_way:
            await self._timer.sweep()
        operator.cancel()
        await asyncio.gather(operator, return_exceptions=True)
        self.weather.calm()
        self.queues.calm()
        await self._quiet()
        await self._restored.end()
        if FIRST_SYNC in self.conditions.played:
            await self._first_sync.end()
        found = await self.last_look.verdict()
        relay.cancel()
        await asyncio.gather(relay, return_exceptions=True)
        await self._machines.end()
        return found

    def _outages(self) -> None:
        for side, outage in self.outages.items():
            if self.rng.random() < self.weather.outage:
                start = self.rng.uniform(0, 300)
                # An outage may last long; but below a day nothing may be given up.
                length = self.rng.uniform(5, 600) if self.rng.random() < 0.9 else self._long(self.rng.uniform(1, 20))
                outage.spans.append((start, start + length))
                self.trace("weather", f"{side} is away from {start:.0f} s on")

    @staticmethod
    def _long(hours: float) -> float:
        """The length of a long outage, in seconds: most are of an hour or two, as each look costs the player's time."""
        return hours * 3600 if hours > MOST_OF_A_DAY else hours * 600

    def _worker(self, process: Process) -> Worker:
        return Worker(
            process,
            mapping=edited(self.rules),
            queues=self.queues,
            ledger=self.ledger,
            dynamics=self._wire("dynamics", self._dynamics, process),
            cmms=self._wire("cmms", self._cmms_api, process),
            token=lambda: self._token,
            organization=self.dataverse.organization.id,
            weather=self.weather,
            rng=self.rng,
            parts=self.parts,
            pasts=self.pasts,
            one_way=self.one_way,
            most=200 if "mass" in self.conditions.played else 12,
            lane=self._lane,
        )

    def _wire(self, side: str, serve: Server, process: Process) -> Wire:
        return Wire(
            side,
            serve,
            process,
            weather=self.weather,
            rng=self.rng,
            trace=self.trace,
            outage=self.outages[side],
            stragglers=self.stragglers,
            violations=self.history.violations,
        )

    def _is_bare(self, entity: str, row: str) -> bool:
        shown = self.dataverse.tables[TABLES[entity]].get(UUID(row))
        return shown is not None and shown.values[STAMP] is None

    def _paired(self, entity: str, record: str, row: str) -> None:
        self.history.pair(entity, record, row, asyncio.get_running_loop().time())

    def _on_record(self, cell: Cell) -> set[str | None]:
        """The losers that the ledger names by now for a cell."""
        kin = self.history.kin(cell.entity, [(cell.side, cell.record)])
        # A write that was sent before the ledger was restored had its record there.
        return self.ledger.losers(cell, kin, discarded=SENT.get() < self.history.ledger_restored)

    def _lagged(self, entity: str, row: str) -> None:
        """An old row was read: nothing tells that what a webhook announced is missing there."""
        self.trace("weather", f"dynamics shows an old state of {entity} {row[:8]}")
        self._webhooks.lost.add(("dynamics", entity, row))

    def _replayed(self, parked: Mapping[str, object]) -> None:
        if parked.get("reason") == "currency_changed":
            entity = next(name for name, queue in QUEUES.items() if queue == parked.get("source_queue"))
            self._currencies.accepted(entity, str(parked.get("key")))

    def _adopted(self, step: Step) -> None:
        if not step.by_integration:
            self._resumption.edited("cmms", step.entity, str(step.pk))

    def _changed(self, change: Change) -> None:
        if change.table not in TABLES.values():
            return  # of what the rows refer to
        entity = next(name for name, table in TABLES.items() if table == change.table)
        row = str(change.row_id)
        if change.caller.user.name == "Person":
            seen = getattr(self.ledger.link_of_row(entity, row), "seen", Seen())
            # An edit below the version that was seen tells of itself.
            if change.version > (seen.row_version or 0) or entity in self.conditions.told["dynamics"]:
                self._resumption.edited("dynamics", entity, row)
        self.observer.dynamics_changed(change)
        if CURRENCIES in self.conditions.played:
            self._currencies.row_changed(change, by_integration=change.caller.user.name != "Person")
        if change.after is None and "dynamics" in self.conditions.said:
            # An operator's word that is not carried out yet has the row made again, as the deletion had been before it.
            self.observer.may_be_made_again({(entity, row)})
        self._webhooks.post(change)


def play(
    seed: int,
    parts: Parts | None = None,
    weather: Callable[[], Weather] | None = None,
    *,
    one_way: bool = False,
    upheavals: Sequence[str] | None = None,
) -> Result:
    """Play one seed from the beginning to its judgement.

    `one_way` is without the CMMS's API, `upheavals` are played instead of those that the seed draws.
    """

    async def main() -> Result:
        world = World(seed, parts or Parts(), weather() if weather else None, one_way=one_way, upheavals=upheavals)
        life = asyncio.ensure_future(world.live())
        storms = world.observer.storms
        storms.end = life.cancel
        try:
            violations = await life
        except asyncio.CancelledError:
            if not storms.found:
                raise
            violations = storms.found
        finally:
            world.ledger.close()
        return Result(seed, violations, world.trace, world.queues.sent, world.last_look.links)

    return run(main())
