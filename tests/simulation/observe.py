"""What happens on either side, told to the history in one normal form."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, date, datetime
from decimal import Decimal
from math import inf
from uuid import UUID

from local.emulators.dataverse.changes import Change, Message
from tests.simulation.cmms_model import CmmsModel, Fields, Step
from tests.simulation.history import Cell, Held, History
from tests.simulation.tables import COLUMNS, DECIMALS, FIELDS, INACTIVE, KEY_COLUMNS, ONE_WAY, TABLES, UNIQUE
from tests.simulation.trace import Trace

ACTIVE = "1"
SENT: ContextVar[float] = ContextVar("SENT", default=inf)
"""When the request that is being carried out was sent: what was deleted only later, it cannot have known."""


def normal(name: str, raw: object) -> Held:
    """The text by which values are compared: plain decimals, ISO dates, whole seconds, no empty text."""
    match raw:
        case None | "":
            return None
        case datetime():
            return raw.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case date():
            return raw.isoformat()
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
    it never learnt that it had made the first one.
    """

    def __init__(
        self,
        history: History,
        cmms: CmmsModel,
        integration: UUID,
        trace: Trace,
        bound: Callable[[str, UUID], bool],
    ) -> None:
        self._history = history
        self._bound = bound
        self._cmms = cmms
        self._integration = integration
        self._trace = trace
        self.writes = 0
        self.created_for: dict[tuple[str, int], list[UUID]] = {}
        self.deleted_keys: set[tuple[str, str]] = set()
        self._deleted_at: dict[tuple[str, str], float] = {}
        self.renamed_keys: set[tuple[str, str]] = set()
        self.removed_rows: set[UUID] = set()
        self.taken_keys: list[tuple[str, str, str]] = []
        """(entity, row, key) of keys that a person gave a row, and the integration took from it."""
        self._given_keys: dict[UUID, str] = {}
        self.holders: dict[tuple[str, str], int] = {}
        cmms.watchers.append(self.cmms_changed)

    def cmms_changed(self, step: Step) -> None:
        """A CMMS record was created, changed, renamed or deleted."""
        now = asyncio.get_running_loop().time()
        who = "product" if step.by_integration else "person"
        self.writes += step.by_integration
        self._trace(who, f"cmms {step.entity} {step.key} #{step.pk}: {_difference(step.before, step.after)}")
        if step.after is None:
            self.deleted_keys.add((step.entity, step.key))
            self._deleted_at[step.entity, step.key] = now
            for name in FIELDS[step.entity]:
                self._history.bury(self._history.cell("cmms", step.entity, str(step.pk), name))
            return
        if step.before is not None and step.key not in step.before.values():
            self.renamed_keys.add(
                (
                    step.entity,
                    next(str(v) for k, v in step.before.items() if k in {"codigo_interno", "numero_requisicion"}),
                )
            )
        if (
            step.before is None
            and step.by_integration
            and SENT.get() > self._deleted_at.get((step.entity, step.key), now)
        ):
            self._history.violations.append(f"{now:.3f}: {step.key} was deleted in the CMMS and came back by itself")
        self.holders[step.entity, step.key] = step.pk
        self._history.keys["cmms", step.entity, str(step.pk)].add(step.key)
        for name in FIELDS[step.entity]:
            cell = self._history.cell("cmms", step.entity, str(step.pk), name)
            value = normal(name, step.after[name])
            before = None if step.before is None else normal(name, step.before[name])
            if step.by_integration:
                self._told(cell, before, value, now, born=step.before is None)
            elif step.before is None:
                if value is not None:
                    self._history.edited(cell, value, now)
            elif value != before:
                self._history.edited(cell, value, now)

    def _told(self, cell: Cell, before: Held, value: Held, now: float, *, born: bool) -> None:
        """A record is born with all that Dynamics knows of it; later, one side alone may say some of its fields."""
        self._history.written(cell, value, now)
        if not born and value != before and cell.field in ONE_WAY:
            self._history.violations.append(f"{now:.3f}: {cell}: the CMMS alone may say it, and was told {value!r}")

    def dynamics_changed(self, change: Change) -> None:
        """A row was created, changed or deleted."""
        now = asyncio.get_running_loop().time()
        entity = next(name for name, table in TABLES.items() if table == change.table)
        by_integration = change.caller.user.id == self._integration
        self.writes += by_integration
        self._trace("product" if by_integration else "person", f"dynamics {entity} {_shown(change, entity)}")
        if change.after is None:
            self.removed_rows.add(change.row_id)
            keys = self._history.keys["dynamics", entity, str(change.row_id)]
            self._history.removed |= {(entity, key) for key in keys}
            self._deleted_at[entity, str(change.row_id)] = now
            for name in FIELDS[entity]:
                self._history.cell("dynamics", entity, str(change.row_id), name).hold(None, None)
            if not self._bound(entity, change.row_id):
                for rows in self.created_for.values():
                    if change.row_id in rows:
                        rows.remove(change.row_id)
            return
        key = change.after.values[KEY_COLUMNS[entity]]
        if isinstance(key, str):
            self._history.keys["dynamics", entity, str(change.row_id)].add(key)
            if by_integration and change.message is Message.CREATE and (pk := self._made_for(entity, key, change)):
                made = self.created_for.setdefault((entity, pk), [])
                if change.row_id not in made or SENT.get() > self._deleted_at[entity, str(change.row_id)]:
                    made.append(change.row_id)
        self._rekeyed(change, entity, str(key), by_integration=by_integration)
        for name in FIELDS[entity]:
            self._row_cell(change, entity, name, by_integration=by_integration, now=now, key=str(key))

    def _rekeyed(self, change: Change, entity: str, key: str, *, by_integration: bool) -> None:
        before = str(change.before.values[KEY_COLUMNS[entity]]) if change.before else key
        if key == before:
            return
        if not by_integration:
            self._given_keys[change.row_id] = key
        elif self._given_keys.pop(change.row_id, None) == before:
            self.taken_keys.append((entity, str(change.row_id), before))

    def _made_for(self, entity: str, key: str, change: Change) -> int | None:
        """The record that a row was made for: by its values, since a late create finds its key with somebody else."""
        values = change.after.values if change.after else {}
        given = {name: normal(name, values[COLUMNS[name]]) for name in FIELDS[entity] if name in UNIQUE}
        cells = [
            cell
            for (side, of, _, name), cell in self._history.cells.items()
            if (side, of) == ("cmms", entity) and given.get(name) in {edit.value for edit in cell.held} - {None}
        ]
        votes: Counter[int | None] = Counter(int(cell.record) for cell in cells)
        holder = self.holders.get((entity, key))
        # Values may have gone from one record to the next: then the key decides.
        return holder if not votes or votes[holder] == max(votes.values()) else votes.most_common(1)[0][0]

    def _row_cell(self, change: Change, entity: str, name: str, *, by_integration: bool, now: float, key: str) -> None:
        column = COLUMNS[name]
        cell = self._history.cell("dynamics", entity, str(change.row_id), name)
        value = normal(name, change.after.values[column]) if change.after else None
        before = normal(name, change.before.values[column]) if change.before else None
        if not by_integration:
            if value != before:
                self._history.edited(cell, value, now)
        elif change.before is None and not {column, f"overridden{column}"} & change.columns:
            self._history.left_out(cell, value, now)
        elif value != before:
            self._product_wrote(cell, value, now, key, born=change.before is None)

    def _product_wrote(self, cell: Cell, value: Held, now: float, key: str, *, born: bool) -> None:
        """A state may come from a policy instead of a person: rows are born active, and die with their record."""
        # By now it may have been made anew, or another record have its former key, which the row still has.
        keys = {key, *self._history.family(cell)}
        gone = self._cmms.find(cell.entity, key) is None or any((cell.entity, one) in self.deleted_keys for one in keys)
        gone = gone or self._history.went_to_another(cell)
        policy = cell.field == "estado" and ((value == INACTIVE and gone) or (value == ACTIVE and born))
        self._history.written(cell, value, now, policy=policy)


def _difference(before: Fields | None, after: Fields | None) -> str:
    if after is None:
        return "deleted"
    changed = {k: v for k, v in after.items() if before is None or before[k] != v}
    return ("created " if before is None else "") + ", ".join(
        f"{k}={v}" for k, v in changed.items() if v is not None or before
    )


def _shown(change: Change, entity: str) -> str:
    before = change.before.values if change.before else {}
    after = change.after.values if change.after else {}
    key = after.get(KEY_COLUMNS[entity]) or before.get(KEY_COLUMNS[entity])
    columns = [KEY_COLUMNS[entity], *(COLUMNS[name] for name in FIELDS[entity]), "statecode"]
    values = {c: after.get(c) for c in columns if change.after and before.get(c) != after.get(c)}
    return f"{key} {str(change.row_id)[:8]} {change.message.value}: " + ", ".join(f"{c}={v}" for c, v in values.items())


type Watcher = Callable[[Change], None]
