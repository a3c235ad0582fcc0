"""A field that refers to rows of another table, some of which are made late, never, or deleted again.

In these runs a serial number stands for a row of its own: what the CMMS's text names, Dynamics holds as that row's id.
"""

import asyncio
from random import Random
from uuid import UUID

from local.emulators.dataverse import Dataverse
from local.emulators.dataverse.reference_tables import reference_tables
from local.emulators.dataverse.rows import Row, frozen
from tests.simulation.cmms_model import CmmsModel, Step
from tests.simulation.conditions import Conditions
from tests.simulation.people import People
from tests.simulation.rules import Rules
from tests.simulation.tables import REFERRING, TABLES, TARGETS, row_of
from tests.simulation.trace import Trace

REFERENCES = "references"
LATE, NEVER = 0.3, 0.15
"""The parts of the rows that are made some time after a record named them, and not at all."""


class References:
    """Makes what people refer to. `stragglers` are waited for: what they make may still change something."""

    def __init__(
        self,
        dataverse: Dataverse,
        cmms: CmmsModel,
        people: People,
        rules: Rules,
        conditions: Conditions,
        rng: Random,
        trace: Trace,
        stragglers: set[asyncio.Task[None]],
    ) -> None:
        self._dataverse = dataverse
        self._cmms = cmms
        self._people = people
        self._rules = rules
        self._conditions = conditions
        self._rng = rng
        self._trace = trace
        self._stragglers = stragglers
        self._known: set[str] = set()
        self._made: set[str] = set()

    def install(self) -> None:
        """In such a run, have the table of what is referred to, and a mapping that says so."""
        if REFERENCES not in self._conditions.played:
            return
        self._dataverse.install(next(table for table in reference_tables() if table.name == TARGETS))
        self._rules.refer(self._entered)
        self._cmms.watchers.append(self._named)

    async def work(self) -> None:
        """Delete some of the rows that are referred to, while everything goes on."""
        for _ in range(self._rng.randint(0, 3)):
            await asyncio.sleep(self._rng.uniform(20.0, 300.0))
            if self._made:
                code = self._rng.choice(sorted(self._made))
                self._trace("upheaval", f"what {code} stands for is deleted")
                self._made.discard(code)
                self._lacks(code)
                self._people.remove(TARGETS, row_of(code))

    def put_back(self) -> None:
        """Have all of them again after a restore, which is of the records and rows alone.

        What a restored row refers to was in the same backup: it is there again, though it was deleted since.
        """
        held = {value for row in self._dataverse.tables[TABLES["asset"]] for value in row.values.values()}
        for code in sorted(self._known - self._made):
            if row_of(code) in held:
                self._make(code)
        self._dataverse.tables[TARGETS].become([self._row(code) for code in sorted(self._made)])

    def _named(self, step: Step) -> None:
        """The CMMS names something: it may be there by now, follow, or never be."""
        code = (step.after or {}).get(REFERRING)
        if code is None or code in self._known:
            return
        self._known.add(code)
        chance = self._rng.random()
        if chance >= LATE + NEVER:
            self._make(code)
            return
        self._lacks(code)
        if chance < LATE:
            most = 600.0 if self._rng.random() < 0.7 else 3 * 3600.0
            task = asyncio.get_running_loop().create_task(self._later(code, self._rng.uniform(1.0, most)))
            self._stragglers.add(task)
            task.add_done_callback(self._stragglers.discard)

    async def _later(self, code: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if code not in self._made:
            self._trace("upheaval", f"what {code} stands for is there from now on")
            self._make(code)

    def _entered(self, code: str) -> UUID:
        """The row that a person in Dynamics refers to, who makes it first where it is not there."""
        self._known.add(code)
        if code not in self._made:
            self._make(code)
        return row_of(code)

    def _make(self, code: str) -> None:
        self._made.add(code)
        self._conditions.lacking.discard(code)
        self._dataverse.tables[TARGETS].put(self._row(code))
        # Nothing tells the records that wait for it, if their messages are parked by now.
        records = self._cmms.tables["asset"].records.items()
        self._people.untold |= {("cmms", "asset", str(pk)) for pk, record in records if record[REFERRING] == code}

    def _lacks(self, code: str) -> None:
        self._conditions.lacking.add(code)
        self._conditions.lacked.add(code)

    def _row(self, code: str) -> Row:
        table = self._dataverse.tables[TARGETS].table
        given = {table.primary_id: row_of(code), "accountnumber": code}
        return Row(row_of(code), 1, frozen(dict.fromkeys(table.columns) | given))
