"""One run: both sides, bus, ledger, workers that die and come back, people, weather; then rest and judgement."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import httpx

import shared
from local.emulators.dataverse import Dataverse, SystemUser, create_app
from local.emulators.dataverse.changes import Change
from local.emulators.dataverse.execution_context import render_context
from local.emulators.identity import mint_token
from shared.adapters.ledger import SqliteLedger
from shared.domain.ledger import Stored, readable
from shared.domain.schema.mapping import Mapping
from shared.errors import SyncError
from shared.flows.reconcile.report import Kind
from shared.wiring import load_mapping
from tests.simulation import one_way
from tests.simulation.checker import check, describe
from tests.simulation.cmms_api import CmmsApi
from tests.simulation.cmms_model import CmmsModel
from tests.simulation.evidence import Evidence
from tests.simulation.history import History
from tests.simulation.loop import run
from tests.simulation.observe import Observer
from tests.simulation.people import People
from tests.simulation.process import Process, world_time
from tests.simulation.queues import Queues
from tests.simulation.relay import Relay
from tests.simulation.tables import KEY_COLUMNS, KEYS, TABLES
from tests.simulation.trace import Trace
from tests.simulation.weather import Weather, draw_weather
from tests.simulation.wire import Outage, Server, Wire
from tests.simulation.worker import CMMS_TOKEN, DYNAMICS_URL, Parts, Worker

SIGNING_KEY = "the-signing-key-of-the-simulation-000"
LONGEST_RUN = 60 * 3600.0
MOST_SWEEPS = 4
MEMORY = "reconcile/memory"


@cache
def document() -> Mapping:
    """The customer's mapping."""
    return load_mapping(Path(shared.__file__).parent / "mappings" / "document.toml")


@dataclass
class Result:
    """How a run ended; `violations` empty means well."""

    seed: int
    violations: list[str]
    trace: Trace
    sent: int = 0
    entries: list[str] = field(default_factory=list)


class World:
    """Everything that a seed decides."""

    def __init__(self, seed: int, parts: Parts, weather: Weather | None = None, *, one_way: bool = False) -> None:
        self.rng = Random(seed)  # noqa: S311  # repeatable, not secret
        self.one_way = one_way
        self.weather = weather or draw_weather(self.rng)
        self.parts = parts
        loop = asyncio.get_running_loop()
        self.trace = Trace(loop.time)
        self.outages = {"dynamics": Outage(), "cmms": Outage()}
        self.stragglers: set[asyncio.Task[None]] = set()
        self.queues = Queues(self.weather, self.rng.getrandbits(32))
        self.ledger = SqliteLedger(":memory:")
        users = SystemUser.of("Integration", "app-1"), SystemUser.of("Person", "person-1")
        ids = Random(self.rng.getrandbits(32))  # noqa: S311  # as above
        self.dataverse = Dataverse(
            users=users, clock=world_time, ids=lambda: UUID(int=ids.getrandbits(128), version=4), dop_hint=4
        )
        app = create_app(self.dataverse, signing_key=SIGNING_KEY, audiences=[DYNAMICS_URL])
        self._dynamics = httpx.ASGITransport(app).handle_async_request
        self._token = mint_token(
            SIGNING_KEY, resource=DYNAMICS_URL, client_id="app-1", now=world_time(), lifetime=timedelta(days=30)
        )
        self.cmms = CmmsModel(world_time, Random(self.rng.getrandbits(32)))  # noqa: S311  # as above
        self.cmms.partial = one_way and self.rng.random() < 0.5
        self._cmms_api = CmmsApi(self.cmms, CMMS_TOKEN)
        self.history = History(self._on_record, only_told=one_way)
        self.observer = Observer(self.history, self.cmms, users[0].id, self.trace, self._bound)
        self.dataverse.subscribers.append(self._changed)
        self.people = People(self.cmms, self.dataverse, users[1], self.rng, self.trace, announced=one_way)
        self.workers: list[Worker] = []
        self._supervisors: list[asyncio.Task[None]] = []
        self._webhooks: set[asyncio.Task[None]] = set()
        self._lost: set[tuple[str, UUID]] = set()
        self._lost_keys: set[tuple[str, str]] = set()
        self._reported: set[tuple[str, str]] = set()
        self._repairable: set[tuple[str, str]] = set()

    async def live(self) -> list[str]:
        """Play everything and judge."""
        self._outages()
        for number in range(self.rng.randint(1, 3)):
            self._supervise(number)
        relay = asyncio.create_task(Relay(self.cmms, self.queues, self.weather, self.rng).work())
        if self.rng.random() < 0.5 and not self.one_way:
            await asyncio.sleep(1.0)
            await self._sweep()  # from here on the timer's next pass needs only to look at what changed
        await self.people.work(self.rng.randint(6, 26))
        await asyncio.sleep(self.rng.choice((0.0, 60.0, 900.0)))
        if self.rng.random() < 0.3 and not self.one_way:
            await self._sweep()
        self.weather.calm()
        self.queues.calm()
        await self._rest()
        untold = self.people.unannounced | set(self._keys_of_lost())
        found = [f"before the sweep: {one}" for one in await self._judge(untold)]
        if not found and not self.one_way and await self.ledger.get_state([MEMORY]):
            found = await self._sweep_until_quiet(None) or await self._missed_by_incremental_passes()
        if not found:
            found = [] if self.one_way else await self._sweep_until_quiet("full")
            found = [*found, *await self._look_once_more(), *await self._judge(set(), everything_seen=True)]
        for task in (relay, *self._supervisors):
            task.cancel()
        await asyncio.gather(relay, *self._supervisors, return_exceptions=True)
        for worker in self.workers:
            worker.process.die("at the end")
            await worker.aclose()
        return found

    def _outages(self) -> None:
        for side, outage in self.outages.items():
            if self.rng.random() < self.weather.outage:
                start = self.rng.uniform(0, 300)
                # An outage may last long; but below a day nothing may be given up.
                length = self.rng.uniform(5, 600) if self.rng.random() < 0.9 else self.rng.uniform(1, 20) * 3600
                outage.spans.append((start, start + length))
                self.trace("weather", f"{side} is away from {start:.0f} s on")

    def _supervise(self, number: int) -> None:
        async def keep() -> None:
            life = 0
            while True:
                worker = self._worker(f"w{number}.{life}")
                self.workers.append(worker)
                worker.start()
                await worker.process.dead.wait()
                await worker.aclose()
                self.workers.remove(worker)
                await asyncio.sleep(self.rng.uniform(0.5, 30.0))
                life += 1

        self._supervisors.append(asyncio.create_task(keep()))

    def _worker(self, name: str) -> Worker:
        skew = self.rng.uniform(-self.weather.skew, self.weather.skew)
        process = Process(name, skew, self.weather, self.rng, self.trace)
        return Worker(
            process,
            mapping=document(),
            queues=self.queues,
            ledger=self.ledger,
            dynamics=self._wire("dynamics", self._dynamics, process),
            cmms=self._wire("cmms", self._cmms_api, process),
            token=lambda: self._token,
            organization=self.dataverse.organization.id,
            weather=self.weather,
            rng=self.rng,
            parts=self.parts,
            one_way=self.one_way,
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

    def _key_of(self, entity: str, row_id: UUID) -> str | None:
        """The key to which the ledger binds the row."""
        return _at_once(self.ledger.keys_of(entity, [str(row_id)])).get(str(row_id))

    def _bound(self, entity: str, row_id: UUID) -> bool:
        """Whether the ledger knows by now that the row was made."""
        key = self._key_of(entity, row_id)
        if key is None:
            return False
        return readable(_at_once(self.ledger.read(entity, [key]))[key]).entry.pending_row != str(row_id)

    def _on_record(self, entity: str, name: str, keys: Iterable[str]) -> set[str | None]:
        """The losers that the ledger names by now under these keys."""
        found = _at_once(self.ledger.read(entity, list(keys)))
        entries = [stored.entry for stored in found.values() if isinstance(stored, Stored)]
        return {conflict.lost for entry in entries for conflict in entry.conflicts if conflict.field == name}

    def _changed(self, change: Change) -> None:
        self.observer.dynamics_changed(change)
        for _ in range(2 if self.rng.random() < self.weather.webhook_twice else 1):
            task = asyncio.get_running_loop().create_task(self._webhook(change))
            self._webhooks.add(task)
            task.add_done_callback(self._webhooks.discard)

    async def _webhook(self, change: Change) -> None:
        """Post the change to a worker; Dataverse tries once more after 503, and never again."""
        body, _ = render_context(self.dataverse.organization, self.dataverse.tables[change.table].table, change)
        entity = next(name for name, table in TABLES.items() if table == change.table)
        if change.after is None and change.before is not None and self._key_of(entity, change.row_id) is None:
            # Only its id is told, and nobody knows whose key it had: a full pass finds what it stood in the way of.
            self.people.unannounced.add((entity, str(change.before.values[KEY_COLUMNS[entity]])))
        await asyncio.sleep(self.rng.uniform(0.05, 4.0))
        if self.rng.random() >= self.weather.webhook_lost:
            for _ in range(2):
                if await self._posted(body):
                    return
                await asyncio.sleep(self.rng.uniform(1.0, 5.0))
        self.trace("weather", f"the webhook of {entity} {change.message.value} {str(change.row_id)[:8]} is lost")
        self._lost.add((entity, change.row_id))
        for row in (change.before, change.after):
            if row is not None:
                self._lost_keys.add((entity, str(row.values[KEY_COLUMNS[entity]])))

    def _keys_of_lost(self) -> Iterator[tuple[str, str]]:
        """Whose change was told by a lost webhook: by the row's key, and by its record's, which may be another one."""
        yield from self._lost_keys
        for entity, row_id in self._lost:
            if (key := self._key_of(entity, row_id)) is not None:
                yield entity, key

    async def _posted(self, body: bytes) -> bool:
        alive = [worker for worker in self.workers if not worker.process.dead.is_set()]
        if not alive:
            return False
        worker = self.rng.choice(alive)
        try:
            await worker.receive(body)
        except SyncError:
            return False
        except asyncio.CancelledError:
            if worker.process.dead.is_set():
                return False
            raise
        return True

    async def _rest(self) -> None:
        """Wait until nothing is under way."""
        loop = asyncio.get_running_loop()
        away = max((end for outage in self.outages.values() for _, end in outage.spans), default=0.0)
        await asyncio.sleep(max(0.0, away - loop.time()))
        while self._webhooks or self.stragglers or self.queues.busy or not all(m.sent for m in self.cmms.outbox):
            if loop.time() > LONGEST_RUN:
                raise TimeoutError(f"{self.queues.busy} messages are still under way after {LONGEST_RUN / 3600:.0f} h")
            await asyncio.sleep(20.0)

    async def _sweep(self, kind: Kind | None = None) -> int:
        """Reconcile; answers how much was found that a repair may mend."""
        worker = next((worker for worker in self.workers if not worker.process.dead.is_set()), None)
        if worker is not None:
            with suppress(SyncError, asyncio.CancelledError):
                report = await worker.reconcile(kind)
                for one in report.findings:
                    (self._repairable if one.kind.repairable else self._reported).add((one.entity, one.key))
                self.trace(
                    "reconcile",
                    f"{report.kind}: " + ", ".join(f"{kind.value} {n}" for kind, n in report.totals().items()),
                )
                return report.repairs + report.pending
        return 1

    async def _look_at_everything(self) -> None:
        """Have every record looked at that any of the stores knows."""
        for entity, table in TABLES.items():
            keys = {str(record[KEYS[entity]]) for record in self.cmms.tables[entity].records.values()}
            keys |= {str(row.values[KEY_COLUMNS[entity]]) for row in self.dataverse.tables[table]}
            async for page in self.ledger.scan(entity):
                keys |= {one.key for one in page}
            await self.workers[0].resync(entity, sorted(keys))

    async def _sweep_until_quiet(self, kind: Kind | None) -> list[str]:
        """Reconcile until nothing is left to repair; then looking at everything must find nothing to write."""
        for _ in range(MOST_SWEEPS):
            await asyncio.sleep(300.0)
            if not await self._sweep(kind):
                break
            await self._rest()
        else:
            return [f"reconciliation still finds something to repair after {MOST_SWEEPS} runs"]
        return []

    async def _missed_by_incremental_passes(self) -> list[str]:
        """What a full pass finds to repair now, but for what nothing tells of: silent imports, rows nobody knew."""
        missed = await self._judge(self.people.unannounced | self._reported)
        self._repairable.clear()
        await self._sweep("full")
        keys = sorted(self._repairable - self.people.unannounced)
        await self._rest()
        return [f"after the incremental pass: {one}" for one in (*missed, *(" ".join(key) for key in keys))]

    async def _look_once_more(self) -> list[str]:
        """Look at everything. Two-way, reconciliation must have left nothing to write; one-way, it does the same."""
        # What a frozen worker read long ago it may yet park, before the ledger tells it that it is late.
        thaws = max(worker.process.thaws_at for worker in self.workers)
        await asyncio.sleep(max(0.0, thaws - asyncio.get_running_loop().time()))
        await self._rest()
        for _ in range(2 if self.one_way else 1):
            before, held, parked = self.observer.writes, await self._held(), len(await self.queues.parked())
            await self._look_at_everything()
            await self._rest()
        # A row of a key by which nobody has looked yet may be parked now, once.
        if len(await self.queues.parked()) - parked > len(await self._held() - held):
            return ["looking at a record at rest parks what is parked already"]
        return [] if self.observer.writes == before else ["looking at a record at rest finds something to write"]

    async def _held(self) -> set[tuple[str, str, str]]:
        """What the ledger holds back: entity, key and field."""
        found: set[tuple[str, str, str]] = set()
        for entity in TABLES:
            async for page in self.ledger.scan(entity):
                found |= {(entity, one.key, name) for one in map(readable, page) for name in one.parked}
        return found

    async def _judge(self, unannounced: set[tuple[str, str]], *, everything_seen: bool = False) -> list[str]:
        entries = {}
        for entity in TABLES:
            async for page in self.ledger.scan(entity):
                entries.update({(entity, entry.key): entry for entry in map(readable, page)})
        self.entries = [f"{entity} {describe(entry)}" for (entity, _), entry in entries.items()]
        judge = one_way.check if self.one_way else check
        return judge(
            Evidence(
                history=self.history,
                observer=self.observer,
                cmms=self.cmms,
                dataverse=self.dataverse,
                entries=entries,
                parked=await self.queues.parked(),
                dead_letters=self.queues.dead,
                unannounced=unannounced,
            ),
            everything_seen=everything_seen,
        )


def _at_once[T](answer: Coroutine[Any, Any, T]) -> T:
    """What SQLite answers, without waiting for anything."""
    try:
        answer.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    raise AssertionError("the ledger waited")


def play(
    seed: int, parts: Parts | None = None, weather: Callable[[], Weather] | None = None, *, one_way: bool = False
) -> Result:
    """Play one seed from the beginning to its judgement; `one_way` without the CMMS's API."""

    async def main() -> Result:
        world = World(seed, parts or Parts(), weather() if weather else None, one_way=one_way)
        try:
            violations = await world.live()
        finally:
            world.ledger.close()
        return Result(seed, violations, world.trace, world.queues.sent, world.entries)

    return run(main())
