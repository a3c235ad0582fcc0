"""Backups of either side and of the ledger, and the same of what the checker knows of them."""

import copy
from collections.abc import Mapping
from copy import replace
from dataclasses import dataclass
from datetime import datetime

from local.emulators.dataverse import Dataverse
from local.emulators.dataverse.organization import Snapshot
from local.emulators.dataverse.rows import Row
from shared.domain.link import Link
from tests.simulation.cmms_model import CmmsModel, Message, Table
from tests.simulation.conditions import Conditions
from tests.simulation.edits import SIDES, Cell, Edit, Held, Side
from tests.simulation.history import History
from tests.simulation.observe import Observer, normal
from tests.simulation.tables import TABLES
from tests.simulation.watched_ledger import LedgerBackup, State, WatchedLedger

STAMP = "cmms_operation"

type Cells = dict[Cell, tuple[Held, Edit | None, bool, Held]]


@dataclass(frozen=True)
class DynamicsBackup:
    """Dynamics as it was, with the cells of its rows, and the columns that the fields had then."""

    rows: Snapshot
    columns: dict[str, str]
    known: set[tuple[str, str]]
    cells: Cells


@dataclass(frozen=True)
class CmmsBackup:
    """The CMMS's database as it was: records, memories and outbox, with the cells of its records."""

    tables: dict[str, Table]
    outbox: list[Message]
    buried: tuple[set[Edit], set[Cell]]
    deleted: dict[tuple[str, str], float]
    cells: Cells


@dataclass(frozen=True)
class Backups:
    """What is backed up and restored, and who is to know of it."""

    dataverse: Dataverse
    cmms: CmmsModel
    ledger: WatchedLedger
    history: History
    observer: Observer
    conditions: Conditions

    def of_dynamics(self) -> DynamicsBackup:
        """Back up Dynamics."""
        return DynamicsBackup(
            self.dataverse.snapshot(), dict(self.history.rules.columns), set(self.history.rows), self._cells("dynamics")
        )

    def restore_dynamics(self, backup: DynamicsBackup, now: float) -> set[tuple[str, str]]:
        """Put the rows back: no edit of anybody's. Versions repeat, and nothing is announced.

        Returns:
            (entity, id) of the rows that are not as they were before.
        """
        before = {(entity, str(row.id)): row for entity, row in self._rows()}
        self.dataverse.restore(backup.rows)
        after = {(entity, str(row.id)): row for entity, row in self._rows()}
        changed = {one for one in before.keys() | after.keys() if before.get(one) is not after.get(one)}
        seen = {(entity, link.row_id): link.seen.stamp for entity, link in self.ledger.all_links()}
        for one in changed & before.keys() & after.keys():
            newest, kept = (rows[one].values[STAMP] for rows in (before, after))
            if kept in {newest, seen.get(one, newest)}:
                self.conditions.untraced["dynamics"].add(one)
        self._put_back("dynamics", backup.cells)
        self.note_what_tells("dynamics")
        self._follow_columns(backup, now)
        self.history.rows = set(backup.known)
        self.conditions.rewound["dynamics"] |= changed & after.keys()
        self.conditions.vanished["dynamics"] |= before.keys() - after.keys()
        for entity, name in sorted(before.keys() - after.keys()):
            self.observer.gone(entity, name, now)
        return changed

    def of_cmms(self) -> CmmsBackup:
        """Back up the CMMS."""
        return CmmsBackup(
            copy.deepcopy(self.cmms.tables),
            [replace(one) for one in self.cmms.outbox],
            self.history.graves(),
            dict(self.observer.deleted),
            self._cells("cmms"),
        )

    def restore_cmms(self, backup: CmmsBackup, now: float) -> set[tuple[str, str]]:
        """Put the records back: no edit of anybody's. What the outbox had not sent is sent again."""
        before, operations = self.revisions(), self._operations()
        self.cmms.tables = copy.deepcopy(backup.tables)
        self.cmms.outbox[:] = [replace(one) for one in backup.outbox]
        self.cmms.news.set()
        after = self.revisions()
        changed = {one for one in before.keys() | after.keys() if before.get(one) != after.get(one)}
        self._put_back("cmms", backup.cells)
        self.note_what_tells("cmms")
        vanished = before.keys() - after.keys()
        self.history.open_graves(*backup.buried, vanished)
        self.observer.taken_away |= dict.fromkeys(vanished, now)
        self.observer.deleted = backup.deleted | {
            one: at for one, at in self.observer.deleted.items() if one in vanished
        }
        self.conditions.rewound["cmms"] |= changed & after.keys()
        self.conditions.unwritten |= self._unwritten()
        kept = self._operations()
        # Of a record that was deleted and lives again, nothing tells which of our writes it had taken before.
        seen = {
            (entity, link.cmms_id): link.seen.operation if link.deleted_at is None else None
            for entity, link in self.ledger.all_links()
        }
        self.conditions.untraced["cmms"] |= {
            one
            for one in changed & kept.keys()
            if operations.get(one) == kept[one] or seen.get(one, "") in {None, *kept[one]}
        }
        self.conditions.vanished["cmms"] |= vanished
        self.history.vanished |= vanished
        # The answer to a create may have been lost with the record: then nobody ever knew of it.
        self.history.forgotten |= vanished - {(entity, link.cmms_id) for entity, link in self.ledger.all_links()}
        return changed

    def _unwritten(self) -> set[tuple[str, str]]:
        """The records of which the CMMS shows other values than are agreed: Dynamics may have to take them yet."""
        records = {
            (entity, str(pk)): one for entity, table in self.cmms.tables.items() for pk, one in table.records.items()
        }
        links = [(entity, link, records.get((entity, str(link.cmms_id)))) for entity, link in self.ledger.all_links()]
        return {
            (entity, str(link.cmms_id))
            for entity, link, record in links
            if record is not None
            and any(normal(name, record[name]) != base.cmms for name, base in link.bases.items() if name in record)
        }

    def restore_ledger(self, backup: LedgerBackup, now: float) -> set[tuple[Side, str, str]]:
        """Put the links and checkpoints back.

        Returns:
            (side, entity, id) of the records and rows of which less is known than before.
        """
        before = {(entity, link.cmms_id or ""): link for entity, link in self.ledger.all_links()}
        self.ledger.restore(backup)
        for side in SIDES:
            self.note_what_tells(side, *self.conditions.told[side])
        after = {(entity, link.cmms_id or ""): link for entity, link in self.ledger.all_links()}
        # Of those whose link is there without its row, or with one that an earlier try was to make, it is forgotten.
        rowless = {one for one, link in after.items() if before.get(one, link).row_id not in {None, link.row_id}}
        lost = (before.keys() - after.keys()) | rowless
        self.conditions.forgotten |= lost
        self.history.forgotten |= lost
        self.observer.forget(lost, now)
        # Of a row that is gone by now, for whatever reason, the create is in doubt once more, and is repeated.
        doubtful = [(entity, link) for (entity, _), link in after.items() if any(one.creates for one in link.intents)]
        there = {(entity, str(row.id)) for entity, row in self._rows()}
        gone = {(entity, str(link.row_id)) for entity, link in doubtful} - there
        self.observer.may_be_made_again(gone)
        # Each loser was on record before it was replaced; these records went with the ledger.
        self.history.owed.clear()
        self.history.ledger_restored = now
        known_less = {
            (side, entity, name)
            for (entity, _), link in before.items()
            if link != after.get((entity, link.cmms_id or ""))
            for side, name in _named(link)
        }
        for side, entity, name in known_less:
            if entity in self.conditions.told[side]:
                self.conditions.unknown[side].add((entity, name))
        return known_less

    def note_what_tells(self, side: Side, *among: str) -> None:
        """Note the entities of which a side shows less than the links saw change last, perhaps among some alone."""
        rows = {
            (entity, str(row.id)): (row.version, at)
            for entity, row in self._rows()
            if isinstance(at := row.values["modifiedon"], datetime)
        }
        shown: Mapping[tuple[str, str], State] = (
            rows if side == "dynamics" else {one: (at, at) for one, at in self.living().items()}
        )
        self.conditions.told[side] = {
            entity
            for entity in among or TABLES
            for name, seen in self.ledger.newest_changes(side, entity).items()
            if _is_taken_back(seen, shown.get((entity, name), seen))
        }

    def _rows(self) -> list[tuple[str, Row]]:
        return [(entity, row) for entity, table in TABLES.items() for row in self.dataverse.tables[table]]

    def revisions(self) -> dict[tuple[str, str], int]:
        """How often each record of the CMMS was changed."""
        tables = self.cmms.tables.items()
        return {(entity, str(pk)): one.revision for entity, table in tables for pk, one in table.memories.items()}

    def living(self) -> dict[tuple[str, str], datetime]:
        """When each living record of the CMMS was changed last."""
        tables = self.cmms.tables.items()
        memories = [(entity, str(pk), one) for entity, table in tables for pk, one in table.memories.items()]
        return {(entity, name): one.version for entity, name, one in memories if not one.deleted}

    def _operations(self) -> dict[tuple[str, str], list[str]]:
        tables = self.cmms.tables.items()
        return {(entity, str(pk)): one.operations for entity, table in tables for pk, one in table.memories.items()}

    def _cells(self, side: Side) -> Cells:
        cells = self.history.cells.values()
        return {one: (one.value, one.edit, one.by_policy, one.given) for one in cells if one.side == side}

    def _follow_columns(self, backup: DynamicsBackup, now: float) -> None:
        """Let each field that has another column since the backup hold what that column held then."""
        present = self.history.rules.columns
        fields = {column: field for field, column in backup.columns.items()}
        rows = {(entity, str(row.id)): row for entity, row in self._rows()}
        for cell in [one for one in self.history.cells.values() if (one.entity, one.record) in rows]:
            column = present[cell.field]
            if cell.side == "cmms" or backup.columns[cell.field] == column:
                continue
            former = self.history.cells.get(("dynamics", cell.entity, cell.record, fields.get(column, "")), cell)
            known = backup.cells.get(former) if column in fields else None
            value, edit, by_policy, given = known or (None, None, False, None)
            cell.hold(value, edit)
            cell.by_policy, cell.given = by_policy, given
            held = normal(cell.field, rows[cell.entity, cell.record].values[column])
            if held != value:
                self.history.edited(cell, held, now)  # people entered it before the column was a field's

    def _put_back(self, side: Side, saved: Cells) -> None:
        for cell in self.history.cells.values():
            if cell.side == side:
                value, edit, by_policy, given = saved.get(cell, (None, None, False, None))
                if edit is not cell.edit:
                    self.history.lost[cell] = cell.edit
                cell.hold(value, edit)
                cell.by_policy, cell.given = by_policy, given


def _named(link: Link) -> list[tuple[Side, str]]:
    """A link's record and row."""
    cmms: list[tuple[Side, str]] = [("cmms", link.cmms_id)] if link.cmms_id is not None else []
    return [*cmms, *([("dynamics", link.row_id)] if link.row_id is not None else [])]  # type: ignore[list-item]


def _is_taken_back(seen: State, shown: State) -> bool:
    """Whether an older state is shown than was seen, or another one of the same version: counted on from a backup."""
    return shown[0] < seen[0] or (shown[0] == seen[0] and shown != seen)  # type: ignore[operator]  # both of one side
