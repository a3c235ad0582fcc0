"""Rows whose currency a person changes: a figure that was agreed on in one currency may not travel in another."""

import asyncio
from dataclasses import dataclass
from random import Random
from uuid import NAMESPACE_URL, UUID, uuid5

from local.emulators.dataverse import Dataverse
from local.emulators.dataverse.changes import Change, Message
from local.emulators.dataverse.schema import Column, ColumnType
from tests.simulation.cmms_model import CmmsModel, Step
from tests.simulation.conditions import Conditions
from tests.simulation.history import History
from tests.simulation.observe import normal
from tests.simulation.people import People
from tests.simulation.rules import Rules
from tests.simulation.tables import CURRENCY, DECIMALS, FIELDS, TABLES
from tests.simulation.trace import Trace
from tests.simulation.watched_ledger import WatchedLedger

EUROS, DOLLARS = (uuid5(NAMESPACE_URL, name) for name in ("euros", "dollars"))


@dataclass(frozen=True)
class Agreed:
    """The currency in which a record and its row had agreed when a person gave the row another one, and when."""

    record: str
    currency: str
    until: float


class Currencies:
    """Plays and judges. What was agreed by then is the ledger's word; whether a figure travelled, the stores'."""

    def __init__(
        self,
        dataverse: Dataverse,
        ledger: WatchedLedger,
        people: People,
        history: History,
        conditions: Conditions,
        rules: Rules,
        rng: Random,
        trace: Trace,
    ) -> None:
        self._dataverse = dataverse
        self._ledger = ledger
        self._people = people
        self._history = history
        self._conditions = conditions
        self._rules = rules
        self._rng = rng
        self._trace = trace
        self._agreed: dict[tuple[str, str], Agreed] = {}
        self._replayed: dict[tuple[str, str], str] = {}
        """Rows whose other currency an operator took for agreed, with the one until then: the replay is on its way."""

    def install(self, cmms: CmmsModel) -> None:
        """Give both tables the currency of their amounts, as every table with amounts has, and rows theirs at birth."""
        cmms.watchers.append(self.record_changed)
        for table in TABLES.values():
            target = {"transactioncurrency": CURRENCY}
            self._dataverse.tables[table].table.columns[CURRENCY] = Column(CURRENCY, ColumnType.LOOKUP, targets=target)
        self._dataverse.defaults[CURRENCY] = EUROS
        self._rules.currency = True

    async def work(self) -> None:
        """Give some rows another currency, and some of them their own again, while everything goes on."""
        for _ in range(self._rng.randint(1, 3)):
            await asyncio.sleep(self._rng.uniform(20.0, 300.0))
            for entity, table in TABLES.items():
                for row in list(self._dataverse.tables[table]):
                    if self._rng.random() < 0.4:
                        other = DOLLARS if row.values[CURRENCY] == EUROS else EUROS
                        self._trace("upheaval", f"the {entity} {str(row.id)[:8]} is in another currency from now on")
                        self._people.change(
                            entity, str(row.id), {f"{CURRENCY}@odata.bind": f"/transactioncurrencies({other})"}
                        )

    def forget(self) -> None:
        """A restored ledger knows of no currency but those of its backup."""
        self._agreed.clear()
        self._replayed.clear()

    def accepted(self, entity: str, key: str) -> None:
        """An operator takes the currency for agreed for which the figures of what has this key were parked.

        The row may have its own one again by now: the word is of the parked one all the same.
        """
        for (side, of, row), keys in list(self._history.keys.items()):
            if (side, of) != ("dynamics", entity):
                continue
            link = self._ledger.link_of_row(of, row)
            # What is parked names its record's key, which the row may still wait for.
            named = keys if link is None else {*keys, *self._history.keys["cmms", of, str(link.cmms_id)]}
            if key not in named:
                continue
            agreed = self._agreed.pop((of, row), None)
            if agreed is not None:
                self._replayed[of, row] = agreed.currency
            elif link is not None and link.seen.currency is not None:
                self._replayed[of, row] = link.seen.currency

    def row_changed(self, change: Change, *, by_integration: bool) -> None:
        """Note another currency; judge a figure that the integration wrote."""
        entity = next(name for name, table in TABLES.items() if table == change.table)
        if change.before is None or change.after is None or change.message is not Message.UPDATE:
            return
        address, now = (entity, str(change.row_id)), asyncio.get_running_loop().time()
        if not by_integration:
            self._noted(address, change, now)
            return
        columns = {self._rules.columns[name] for name in DECIMALS if name in FIELDS[entity]}
        before, after = change.before.values, change.after.values
        changed = {one for one in columns if before[one] != after[one]}
        if changed and self._is_strange(address):
            self._history.violations.append(f"{now:.3f}: {sorted(changed)} of {address} in a currency of nobody's")

    def _noted(self, address: tuple[str, str], change: Change, now: float) -> None:
        before, after = change.before, change.after
        if before is None or after is None or before.values[CURRENCY] == after.values[CURRENCY]:
            return
        self._conditions.revalued.add(address)
        link = self._ledger.link_of_row(*address)
        seen = link.seen.currency if link is not None else None
        if link is None or link.cmms_id is None or seen in {None, str(after.values[CURRENCY])}:
            self._agreed.pop(address, None)
        elif self._replayed.get(address) != seen:
            # A person may give the row its own currency and the accepted one once more before the replay is worked on.
            self._agreed[address] = Agreed(link.cmms_id, str(seen), now)

    def record_changed(self, step: Step) -> None:
        """Judge a figure that the integration wrote to the CMMS: one that was given in the new currency."""
        if not step.by_integration or step.before is None or step.after is None:
            return
        for address, agreed in self._agreed.items():
            if address[0] != step.entity or agreed.record != str(step.pk) or not self._is_strange(address):
                continue
            for name in DECIMALS & set(FIELDS[step.entity]):
                given = self._history.cell("dynamics", *address, name).edit
                changed = normal(name, step.before[name]) != normal(name, step.after[name])
                if changed and given is not None and given.at > agreed.until:
                    self._history.violations.append(f"{given.at:.3f}: {given} travelled in a currency of nobody's")

    def _is_strange(self, address: tuple[str, str]) -> bool:
        """Whether the row has another currency than was agreed with the record that it still belongs to."""
        entity, row_id = address
        agreed, link = self._agreed.get(address), self._ledger.link_of_row(entity, row_id)
        if agreed is None or link is None or link.cmms_id != agreed.record:
            return False
        row = self._dataverse.tables[TABLES[entity]].get(UUID(row_id))
        return row is not None and row.values[CURRENCY] is not None and str(row.values[CURRENCY]) != agreed.currency
