"""What happens on either side, told to the history in one normal form."""

import asyncio
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from local.emulators.dataverse.changes import Change, Message
from tests.simulation.cmms_model import CmmsModel, Fields, Step
from tests.simulation.edits import Cell, Held, Name, Side
from tests.simulation.history import History
from tests.simulation.sent import BATCH, SENT
from tests.simulation.storms import A_MINUTE, Storms
from tests.simulation.tables import (
    ACTIVE,
    CELLS,
    DEAD_STATE,
    DECIMALS,
    INACTIVE,
    KEY_COLUMNS,
    KEYS,
    ONE_WAY,
    TABLES,
    code_of,
)
from tests.simulation.trace import Trace

CLEARS_PER_FILL = 10


def normal(name: str, raw: object) -> Held:
    """The text by which values are compared: plain decimals, ISO dates, whole seconds, no empty text."""
    match raw:
        case None | "":
            return None
        case datetime():
            return raw.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case date():
            return raw.isoformat()
        case UUID():
            return code_of(raw)
        case int():
            return str(raw)
        case _ if name in DECIMALS:
            text = format(Decimal(str(raw)), "f")
            return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
        case _ if name == "fecha_creacion":
            return normal(name, datetime.fromisoformat(str(raw)))
    return str(raw)


class Observer:
    """Watches both stores. `integration` is the id of the user that the product signs in as.

    `bound` tells whether the ledger knows a row: the integration may not make a row anew that a person deleted, unless
    it never learnt that it had made the first one. `row_of` names the row that a create in the CMMS was announced for.
    `obeys` tells whether a side's record or row follows an operator's word just now that its side was restored, `bare`
    whether a row shows no write of ours.
    """

    def __init__(
        self,
        history: History,
        cmms: CmmsModel,
        integration: UUID,
        trace: Trace,
        *,
        bound: Callable[[str, str], bool],
        row_of: Callable[[str, str], str | None],
        obeys: Callable[[str, Name], bool],
        bare: Callable[[str, str], bool],
    ) -> None:
        self._history = history
        self._bound = bound
        self._row_of = row_of
        self._obeys = obeys
        self._bare = bare
        self._integration = integration
        self._trace = trace
        self.writes = 0
        self.storms = Storms()
        self.emptied: dict[tuple[str, str, str, str], dict[str, float]] = defaultdict(dict)
        """By batch, entity, side and field, the records in which the integration emptied it, and when it sent that."""
        self.filled: dict[tuple[str, str, str, str], list[tuple[str, float]]] = defaultdict(list)
        """By worker, entity, side and field, the records in which the integration gave it a value, and when."""
        self.created_for: dict[tuple[str, str], list[str]] = {}
        """(entity, CMMS id) to the rows that the integration made for it."""
        self.deleted: dict[tuple[str, str], float] = {}
        """(entity, CMMS id) of records that a person deleted, and when."""
        self.taken_away: dict[tuple[str, str], float] = {}
        """(entity, CMMS id) of records that a restore of the CMMS took away, and when."""
        self.late: set[tuple[str, str]] = set()
        """(entity, CMMS id) of records that the integration made for a row whose next record was gone by then."""
        self.removed: dict[tuple[str, str], float] = {}
        """(entity, id) of rows that a person deleted, and when."""
        self._again: set[tuple[str, str]] = set()
        self._forgotten_at: dict[tuple[str, str], float] = {}
        self.touched: set[tuple[str, str]] = set()
        """(entity, id) of rows that a person edited while they were inactive: a person may have retired them."""
        self.saved: set[tuple[str, str, str]] = set()
        """(side, entity, id) of what a person saved or deleted before both sides met, also where no field changed."""
        cmms.watchers.append(self.cmms_changed)

    def cmms_changed(self, step: Step) -> None:
        """A CMMS record was created, changed, renamed or deleted."""
        now = asyncio.get_running_loop().time()
        entity, pk = step.entity, str(step.pk)
        who = "product" if step.by_integration else "person"
        self.writes += step.by_integration
        if step.by_integration:
            self.storms.written("cmms", entity, pk, now)
        else:
            self._saved("cmms", entity, pk)
        key = (step.after or step.before or {})[KEYS[entity]]
        self._trace(who, f"cmms {entity} {key} #{pk}: {_difference(step.before, step.after)}")
        if step.after is None:
            self.deleted[entity, pk] = now
            for name in CELLS[entity]:
                self._history.bury(self._history.cell("cmms", entity, pk, name))
            return
        if step.before is None and step.by_integration:
            self._born(entity, pk, step.operation, now)
        self._history.keys["cmms", entity, pk].add(str(key))
        for name in CELLS[entity]:
            cell = self._history.cell("cmms", entity, pk, name)
            value = normal(name, step.after[name])
            before = None if step.before is None else normal(name, step.before[name])
            if step.by_integration:
                self._told(cell, before, value, now, born=step.before is None)
            elif value != before:
                self._history.edited(cell, value, now, silent=step.silent)

    def _saved(self, side: Side, entity: str, name: str) -> None:
        if not self._history.partners[side, entity, name]:
            self.saved.add((side, entity, name))

    def _born(self, entity: str, pk: str, operation: str | None, now: float) -> None:
        """A record was made for a row: the only one ever."""
        row = self._row_of(entity, operation or "")
        if row is None:
            self._history.violations.append(f"{now:.3f}: {entity} #{pk} was made in the CMMS and never announced")
            return
        had = self._history.partners["dynamics", entity, row]
        gone = [max(self.deleted.get((entity, one), 0.0), self.taken_away.get((entity, one), 0.0)) for one in had]
        if any(SENT.get() < at for at in gone):
            # A request that was sent before the record was deleted, or a restore took it away, cannot know of that.
            self.late.add((entity, pk))
            self._history.partners["cmms", entity, pk].append(row)
            return
        lost = self._history.vanished
        # The row is what its last record was. One that is lost, an operator has made again, or nobody knows of it: a
        # restored CMMS lost the record, or a restored Dynamics our writes to the row, and a restored ledger the link.
        forgotten = self._history.forgotten
        settled = lost if "dynamics" in self._history.counting else lost & forgotten
        settled = settled | forgotten if self._bare(entity, row) else settled
        if "dynamics" in self._history.counting:
            # Of a record that met the row after the lost one, and that a restored ledger forgot, a word knows nothing.
            had = [one for one in had if (entity, one) not in forgotten] or had
        for other in had[-1:]:
            if (entity, other) in settled:
                continue
            self._history.violations.append(f"{now:.3f}: {entity} #{other} came back by itself as #{pk}")
        self._history.pair(entity, pk, row, now)

    def _told(self, cell: Cell, before: Held, value: Held, now: float, *, born: bool) -> None:
        """A record is born with all that Dynamics knows of it; later, one side alone may say some of its fields."""
        self._history.written(cell, value, now)
        self._counted(cell, before, value, born=born)
        told = "dynamics" in self._history.counting
        if not (born or told) and value != before and cell.field in ONE_WAY:
            self._history.violations.append(f"{now:.3f}: {cell}: the CMMS alone may say it, and was told {value!r}")

    def dynamics_changed(self, change: Change) -> None:
        """A row was created, changed or deleted."""
        now = asyncio.get_running_loop().time()
        entity = next(name for name, table in TABLES.items() if table == change.table)
        row = str(change.row_id)
        by_integration = change.caller.user.id == self._integration
        self.writes += by_integration
        if by_integration:
            self.storms.written("dynamics", entity, row, now)
        else:
            self._saved("dynamics", entity, row)
        columns = [*(self._history.rules.columns[name] for name in CELLS[entity]), "statecode"]
        self._trace("product" if by_integration else "person", f"dynamics {entity} {_shown(change, entity, columns)}")
        if change.after is None:
            for name in CELLS[entity]:
                self._history.cell("dynamics", entity, row, name).hold(None, None)
            self.gone(entity, row, now)
            return
        self._history.rows.add((entity, row))
        if not by_integration and change.before is not None and change.before.values["statecode"] == DEAD_STATE[entity]:
            self.touched.add((entity, row))
        if isinstance(key := change.after.values[KEY_COLUMNS[entity]], str):
            self._history.keys["dynamics", entity, row].add(key)
        if by_integration and change.message is Message.CREATE:
            self._made(entity, row, now)
        for name in CELLS[entity]:
            self._row_cell(change, entity, name, by_integration=by_integration, now=now)

    def gone(self, entity: str, row: str, now: float) -> None:
        """Note that a row is there no more. One that the ledger does not know yet may be made once more."""
        self.removed[entity, row] = now
        self._history.rows.discard((entity, row))
        if not self._bound(entity, row):
            for rows in self.created_for.values():
                if row in rows:
                    rows.remove(row)

    def forget(self, records: Collection[tuple[str, str]], now: float) -> None:
        """Note that a restored ledger knows no row of these records: what was made for them is no row of theirs."""
        for one in records:
            self.created_for.pop(one, None)
            self._forgotten_at[one] = now

    def may_be_made_again(self, rows: Collection[tuple[str, str]]) -> None:
        """Note that an operator has rows that a backup took away made again: each is its record's row from then on."""
        self._again |= set(rows)

    def _made(self, entity: str, row: str, now: float) -> None:
        """A row was made for a record, as the ledger was told before."""
        partners = self._history.partners["dynamics", entity, row]
        if not partners:
            self._history.violations.append(f"{now:.3f}: the row {row} of {entity} was made and never announced")
            return
        record = (entity, partners[0])
        # No evidence tells a restored ledger of a create that it does not hold and that is still under way.
        if SENT.get() < self._forgotten_at.get(record, 0.0):
            return
        made = self.created_for.setdefault(record, [])
        if (entity, row) in self._again:
            self._again.discard((entity, row))
            made.clear()
        # A request that was sent before somebody deleted the row cannot know of that.
        if row not in made or SENT.get() > self.removed[entity, row]:
            made.append(row)

    def _row_cell(self, change: Change, entity: str, name: str, *, by_integration: bool, now: float) -> None:
        column = self._history.rules.columns[name]
        cell = self._history.cell("dynamics", entity, str(change.row_id), name)
        value = normal(name, change.after.values[column]) if change.after else None
        before = normal(name, change.before.values[column]) if change.before else None
        # What was sent before the field had this column was another field's: it stands there as if it had been entered.
        if not by_integration or SENT.get() < self._history.rules.moved.get(name, 0.0):
            if value != before:
                self._history.edited(cell, value, now)
        elif change.before is None and not {column, f"overridden{column}"} & change.columns:
            self._history.left_out(cell, value, now)
        elif value != before:
            self._counted(cell, before, value, born=change.before is None)
            self._product_wrote(cell, value, now, born=change.before is None)
        elif column in change.columns:
            self._history.confirmed(cell)

    def _counted(self, cell: Cell, before: Held, value: Held, *, born: bool) -> None:
        """Count what a batch empties, and where its worker writes another value: beside such, few clears are people's.

        What a record or a row is born with tells nothing of that.
        What an operator's word has written to a restored side is nobody's mass: the command showed it and asked.
        """
        told = self._obeys(cell.entity, (cell.side, cell.record))
        field = (BATCH.get(), cell.entity, cell.side, cell.field)
        if value is not None and not born:
            worker, _, _ = BATCH.get().partition(" ")
            self.filled[worker, cell.entity, cell.side, cell.field].append((cell.record, SENT.get()))
        if value is None and before is not None and not told:
            self.emptied[field].setdefault(cell.record, SENT.get())

    def masses(self, many: int) -> Iterator[str]:
        """Faults: one field emptied in many records within a minute by one batch, and filled in few by its worker.

        No people do that. What a worker goes on with after it stood still for minutes, it decides anew.
        """
        for (batch, entity, side, name), records in self.emptied.items():
            times = sorted(records.values())
            most, first = max((bisect_right(times, at + A_MINUTE) - place, at) for place, at in enumerate(times))
            worker, _, _ = batch.partition(" ")
            given = self.filled[worker, entity, side, name]
            fills = {record for record, at in given if first - A_MINUTE <= at <= first + A_MINUTE}
            if most >= many and most > CLEARS_PER_FILL * len(fills):
                yield f"{side} {entity} {name} was emptied in {most} records by one batch ({batch})"

    def _product_wrote(self, cell: Cell, value: Held, now: float, *, born: bool) -> None:
        """A value may come from a policy instead of a person.

        Rows are born active, die with their record, and live again with the next one; a row that stands in the way of
        another record's key gets its own id for one.
        """
        gone = any(
            (cell.entity, one) in self.deleted for one in self._history.partners["dynamics", cell.entity, cell.record]
        )
        policy = cell.field == "estado" and ((value in {INACTIVE, ACTIVE} and gone) or (value == ACTIVE and born))
        policy = policy or (cell.field == KEYS[cell.entity] and value == cell.record)
        self._history.written(cell, value, now, policy=policy)


def _difference(before: Fields | None, after: Fields | None) -> str:
    if after is None:
        return "deleted"
    changed = {k: v for k, v in after.items() if before is None or before[k] != v}
    return ("created " if before is None else "") + ", ".join(
        f"{k}={v}" for k, v in changed.items() if v is not None or before
    )


def _shown(change: Change, entity: str, columns: Sequence[str]) -> str:
    before = change.before.values if change.before else {}
    after = change.after.values if change.after else {}
    key = after.get(KEY_COLUMNS[entity]) or before.get(KEY_COLUMNS[entity])
    values = {c: after.get(c) for c in columns if change.after and before.get(c) != after.get(c)}
    return f"{key} {str(change.row_id)[:8]} {change.message.value}: " + ", ".join(f"{c}={v}" for c, v in values.items())


type Watcher = Callable[[Change], None]
