"""Every value that a person gave, and every value that the integration wrote over one: the checker's evidence.

The rules are stated without the engine's merge. A cell is one field of one record on one side. Each person's edit
has its predecessor: the edit whose value the cell held then, wherever that was made; so an edit's ancestors are what
its author could see. People's values are unique (but for choices), so that a value tells which edit it is.

When the integration writes a value over another one:
- the value must be one that a person gave on the other side: nothing is invented;
- what it replaces must be an ancestor of it, or have been deleted with its CMMS record, or be named as the loser of a
  conflict record: nothing vanishes;
- it must not be an ancestor of what it replaces: nothing goes back.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping

from tests.simulation.edits import Adopted, Cell, Edit, Held, Name, Owed, Side, across
from tests.simulation.rules import Rules
from tests.simulation.sent import SENT
from tests.simulation.tables import CHOICES, INACTIVE, KEYS, ONE_WAY, UNIQUE


class History:
    """All cells. `keys` tells which business keys a record has had, `on_record` what conflict records name by now, and
    `agreed` what the ledger says that a cell held when both sides last agreed.

    A record and a row belong together from when the ledger first links them: that is the only thing which is taken
    from the product, and `pair` judges whether it linked rightly.
    """

    def __init__(
        self,
        on_record: Callable[[Cell], set[Held]],
        agreed: Callable[[Cell], set[Held]],
        rules: Rules,
        *,
        only_told: bool = False,
    ) -> None:
        """`only_told`: nothing but messages tells of the CMMS."""
        self.rules = rules
        self._on_record = on_record
        self._agreed = agreed
        self.only_told = only_told
        self.cells: dict[tuple[Side, str, str, str], Cell] = {}
        self.keys: dict[tuple[Side, str, str], set[str]] = defaultdict(set)
        self.partners: dict[tuple[Side, str, str], list[str]] = defaultdict(list)
        """By record or row, those of the other side that it was ever linked with, the first first."""
        self.rows: set[tuple[str, str]] = set()
        """(entity, id) of the rows that there are."""
        self.owed: list[Owed] = []
        self.violations: list[str] = []
        self._buried: set[Edit] = set()
        self._graves: set[Cell] = set()
        self._edits = 0
        self._anew: set[tuple[str, str]] = set()
        self._renewed: set[tuple[str, str]] = set()
        self._unread: set[tuple[str, str, str]] = set()
        self._shelf: dict[tuple[str, str, str], tuple[Held, Edit | None]] = {}
        self.lost: dict[Cell, Edit | None] = {}
        """The edits that a backup took back, by cell, as long as nobody went on from there."""
        self.forgotten: set[tuple[str, str]] = set()
        """(entity, record) of those whose link a restored ledger does not have, or that were lost without one."""
        self.vanished: set[tuple[str, str]] = set()
        """(entity, record) of those that a restored CMMS does not have: told of it, their rows are new ones."""
        self.living_again: set[tuple[str, str]] = set()
        """(entity, record) of those whose deletion a restored CMMS does not know."""
        self.ledger_restored = 0.0
        """When the ledger was restored last."""
        self.all_anew = False
        """Whether an operator said that the ledger was restored: then whatever changed since meets anew."""
        self.said_at: dict[Side, float] = {}
        """When an operator's word that a side was restored was carried out last."""
        self.counting: set[Side] = set()
        """The sides of which an operator said that they count, because the other one was restored from a backup."""
        self.chosen: dict[tuple[str, str], set[Side]] = defaultdict(set)
        """By entity and field, the sides that an operator chose for a first sync, for where both meet."""

    def pair(self, entity: str, record: str, row: str, at: float) -> None:
        """Note that the ledger links the two: neither may have another partner that is still there."""
        if row in self.partners["cmms", entity, record]:
            return
        for other in self.partners["cmms", entity, record]:
            known = (entity, other) in self.rows and (entity, record) not in self.forgotten
            if known and self.row_is_of(entity, other, record):
                self.violations.append(f"{at:.3f}: {entity} #{record} has the row {other}, and was linked with {row}")
        # Whether earlier records had let the row go, was judged when the next one got it.
        for other in self.partners["dynamics", entity, row][-1:]:
            # A create that arrived late makes a row whose record has another one by then.
            late = self.partners["cmms", entity, other][-1] != row
            gone = any(grave.record == other and grave.entity == entity for grave in self._graves)
            gone = gone or ("dynamics" in self.counting and (entity, other) in self.vanished)
            if not (late or gone or (entity, other) in self.forgotten):
                self.violations.append(f"{at:.3f}: the row {row} of {entity} #{other} was linked with #{record}")
        self.partners["cmms", entity, record].append(row)
        self.partners["dynamics", entity, row].append(record)

    def row_is_of(self, entity: str, row: str, record: str) -> bool:
        """Whether a record is the last one that a row was linked with: none has taken the row over since."""
        return self.partners["dynamics", entity, row][-1:] == [record]

    def kin(self, entity: str, names: Iterable[Name]) -> set[Name]:
        """The records and rows, with all that they were ever linked with, and what that was linked with."""
        found = set(names)
        for _ in range(2):
            found |= {(across(side), one) for side, name in found for one in self.partners[side, entity, name]}
        return found

    def cell(self, side: Side, entity: str, record: str, name: str) -> Cell:
        """The cell, made when it is first asked for."""
        address = (side, entity, record, name)
        if address not in self.cells:
            self.cells[address] = Cell(*address)
        return self.cells[address]

    def edited(self, cell: Cell, value: Held, at: float, *, silent: bool = False) -> None:
        """Note a person's edit."""
        self._edits += 1
        edit = Edit(self._edits, at, cell, value, self._seen(cell), cell.value, silent)
        cell.put_back |= value == cell.before and value != cell.given
        cell.hold(value, edit)

    def _seen(self, cell: Cell) -> Edit | None:
        """The edit that whoever looks at the cell sees: of a value that no edit gave it, one that both agreed on."""
        agreed = cell.by_policy and cell.value in self._agreed(cell)
        return self._said_across(cell) if agreed else cell.edit

    def confirmed(self, cell: Cell) -> None:
        """Note that the integration wrote what the cell shows already: it stands for the newer value, rounded."""
        cell.hold(cell.value, self._said_across(cell))

    def _said_across(self, cell: Cell) -> Edit | None:
        """The other side's present edit, where it gives what the cell shows; else the cell's own."""
        across_now = [one.edit for one in self._across(cell) if one.edit is not None]
        alike = [edit for edit in across_now if self.rules.gives(edit, across(cell.side), cell.field, cell.value)]
        return [cell.edit, *alike][-1]

    def bury(self, cell: Cell) -> None:
        """Note that a person deleted the record, and with it all that the cell ever held."""
        self._buried.update(cell.held)
        self._graves.add(cell)

    def graves(self) -> tuple[set[Edit], set[Cell]]:
        """What `bury` noted, for a backup."""
        return set(self._buried), set(self._graves)

    def open_graves(self, buried: set[Edit], graves: set[Cell], vanished: Collection[tuple[str, str]]) -> None:
        """Undo the deletions that a backup does not know, but for those of records that it does not know either."""
        gone = {one for one in self._graves if (one.entity, one.record) in vanished}
        self.living_again |= {(one.entity, one.record) for one in self._graves - graves - gone}
        self._buried = buried.union(*(one.held for one in gone))
        self._graves = graves | gone

    def meet_anew(self, entity: str, field: str) -> None:
        """Note that a field has other rules: what was agreed by the earlier ones counts no more."""
        self._anew.add((entity, field))

    def meet_in(self, entity: str, field: str, rows: Iterable[str]) -> None:
        """Note that nobody could read the field of these rows since they were made: nothing was agreed of it."""
        self._unread |= {(entity, field, row) for row in rows}

    def meet_again(self, entity: str, names: Iterable[str]) -> None:
        """Note that records or rows, or what is known of them, went back: what was agreed later counts no more."""
        self._renewed |= {(entity, name) for name in names}

    def meets_anew(self, cell: Cell) -> bool:
        """Whether the two sides may have met again: then a value beats nothing, and every other loser is on record."""
        kin = self.kin(cell.entity, [(cell.side, cell.record)])
        return (
            self.all_anew
            or (cell.entity, cell.field) in self._anew
            or any((cell.entity, name) in self._renewed for _, name in kin)
            or any((cell.entity, cell.field, name) in self._unread for _, name in kin)
        )

    def adopt(self, side: Side, entity: str, record: str, at: float) -> None:
        """Note that somebody goes on from what a backup brought back: all of it is given once more."""
        for cell in [one for one in self.lost if (one.side, one.entity, one.record) == (side, entity, record)]:
            newest = self.lost.pop(cell)
            self._edits += 1
            over = newest.value if newest is not None else None
            cell.hold(cell.value, Adopted(self._edits, at, cell, cell.value, newest, over, brought=cell.edit))

    def shelve(self, columns: Mapping[str, str]) -> None:
        """Remember what the columns of all fields hold, before some of them become other fields' columns."""
        for cell in self.cells.values():
            if cell.side == "dynamics":
                self._shelf[cell.entity, cell.record, columns[cell.field]] = cell.value, cell.edit

    def unshelve(self, entity: str, field: str, column: str, rows: Mapping[str, Held], at: float) -> None:
        """Let a field hold what its new column holds: what nobody gave as a field's value, people entered there."""
        for row, value in rows.items():
            cell = self.cell("dynamics", entity, row, field)
            known, edit = self._shelf.get((entity, row, column), (None, None))
            if value is not None and known != value:
                self._edits += 1
                edit = Edit(self._edits, at, cell, value, edit, known)
            cell.hold(value, edit if value is not None or known is None else None)
            cell.given = None

    def _is_buried(self, edit: Edit) -> bool:
        """Whether the value went with a deleted record, in which somebody else may have given it as well."""
        return edit in self._buried or (
            edit.cell.field in UNIQUE
            and edit.value is not None
            and any(
                (one.cell.entity, one.cell.field, one.value) == (edit.cell.entity, edit.cell.field, edit.value)
                for one in self._buried
            )
        )

    def _made_anew(self, cell: Cell) -> bool:
        """Whether the row was once the row of a record that was deleted in the CMMS."""
        return any(one in self._graves for one in self._across(cell))

    def left_out(self, cell: Cell, value: Held, at: float) -> None:
        """Note a value that a row was made with because nobody gave another one."""
        if cell.field == "fecha_creacion" and not self.only_told:
            # The CMMS's orders always have one, and no later write could mend it.
            self.violations.append(f"{at:.3f}: {cell}: the row was made without the CMMS's value")
        origins = self._origins(cell, value)
        cell.hold(value, origins[-1] if origins else None)
        cell.by_policy, cell.given = True, value

    def written(self, cell: Cell, value: Held, at: float, *, policy: bool = False) -> None:
        """Judge and note a value that the integration wrote, or that its `policy` set where nobody gave it."""
        if value == cell.value:
            return
        before, cell.given, cell.before = cell.given, value, cell.value
        self.lost.pop(cell, None)  # whoever goes on from here sees this value, and not what a backup brought
        origins = self._origins(cell, value)
        if value is None and cell.side == "dynamics" and self._made_anew(cell):
            # Nobody gave the new record's nothing: that the record before it was emptied once tells nothing of it.
            origins = [edit for edit in origins if edit not in self._buried]
        replaced = cell.edit
        if policy:
            self._by_policy(cell, value, at, origins)
            return
        if not origins:
            self._without_origin(cell, value, at, before)
            return
        origin = origins[-1]
        if replaced is not None and not self._is_buried(replaced):
            descended = [edit for edit in origins if self.rules.knows(edit, replaced)]
            origin = (descended or origins)[-1]
            # A row in the state of deleted records says nothing of its own, whoever put it there.
            dead = cell.field in CHOICES and cell.value == INACTIVE and self._made_anew(cell)
            empty = self._emptied_with_a_row(cell, replaced, origin) or self._emptied_before_they_met(
                cell, replaced, origin
            )
            empty = empty or (replaced.value is None and self.meets_anew(cell))
            empty = empty or self._is_emptied_on_both_sides(cell, replaced, origin)
            untold = self.only_told and cell.side == "dynamics" and self._is_no_news(replaced, before, origin)
            unseen = self._is_back_at_the_base(cell, replaced, before)
            if not (descended or cell.by_policy or dead or empty or untold or unseen):
                self._owe(replaced, cell, value, at, origins)
                self._not_back(cell, origins, replaced, at)
        cell.hold(value, origin)
        cell.outdated = SENT.get() < self.said_at.get(across(cell.side), 0.0)

    def _without_origin(self, cell: Cell, value: Held, at: float, before: Held) -> None:
        """Judge a value that nobody gave on the other side; `before` is what the integration gave the cell last."""
        replaced = cell.edit
        # A ledger that forgot a half-made row takes the state in which the row was born for somebody's, as does one
        # that was restored and forgot a write; and where an operator said that Dynamics counts, so does that state.
        behind = self.ledger_restored > 0 and self.meets_anew(cell)
        settled = behind or (cell.entity, cell.record) in self.forgotten or "dynamics" in self.counting
        born = any(one.by_policy for one in self._across(cell)) and settled
        # A row that a ledger forgot may be met by another record that has its key by now, and says what it shows; as
        # does a row of which a ledger that was restored forgot a write: several states of the CMMS are one of Dynamics.
        born = born or (cell.side == "cmms" and self._is_said_by_a_forgotten_row(cell, value, behind=behind))
        alone = cell.side == "dynamics" and (self.only_told or cell.field in ONE_WAY or self._made_anew(cell))
        if value is not None and not born:
            self.violations.append(f"{at:.3f}: {cell}: nobody gave {value!r}")
        elif (
            replaced is None
            or self._is_buried(replaced)
            or (born and self._is_back_at_the_base(cell, replaced, before))
        ):
            pass
        elif born or alone or self.meets_anew(cell) or across(cell.side) in self.counting:
            # Where the CMMS alone says the field, or its record was made anew, it says nothing.
            self._owe(replaced, cell, value, at, ())
        else:
            self.violations.append(f"{at:.3f}: {cell}: nobody cleared {replaced}")
        cell.hold(value, None)

    def _is_said_by_a_forgotten_row(self, cell: Cell, value: Held, *, behind: bool) -> bool:
        rows = [one for one in self._across(cell) if self.rules.same(cell.field, value, one.value)]
        owners = {(cell.entity, name) for one in rows for name in self.partners["dynamics", one.entity, one.record]}
        return bool(owners & self.forgotten) or (behind and bool(rows))

    def _by_policy(self, cell: Cell, value: Held, at: float, origins: list[Edit]) -> None:
        """Note a value that nobody gave. A key that a person gave the row is lost as any other value."""
        replaced = cell.edit
        if cell.field in KEYS.values() and replaced is not None and replaced.cell is cell:
            self._owe(replaced, cell, value, at, ())
        cell.hold(value, origins[-1] if origins else replaced)
        cell.by_policy = True

    def _is_no_news(self, replaced: Edit, before: Held, origin: Edit) -> bool:
        """Whether the edit is no difference to what was agreed, where the CMMS can be told nothing in between.

        It put back what the integration had written; or it emptied what a message on its way was to empty as well.
        """
        emptied = any(one.value is None and one.cell.side == "cmms" for one in origin.ancestors())
        return replaced.value == before or (replaced.value is None and emptied)

    def _is_back_at_the_base(self, cell: Cell, replaced: Edit, given: Held) -> bool:
        """Whether people gave a cell another value and then again the one that both sides had agreed on.

        Between two looks nothing tells such a cell from one that nobody edited, also where the other side was given the
        value in between as well.
        """
        between = replaced.over != given or (replaced.previous is not None and replaced.previous.cell is cell)
        return replaced.cell is cell and between and replaced.value in self._agreed(cell)

    def _emptied_with_a_row(self, cell: Cell, replaced: Edit, origin: Edit) -> bool:
        """Whether the value is of a row that never held what was emptied: somebody made it for one that is gone.

        Then the CMMS's nothing is no edit against the new row: a value beats it.
        """
        return (
            cell.side == "cmms"
            and replaced.value is None
            and origin.cell.side == "dynamics"
            and {replaced, *replaced.ancestors()}.isdisjoint(origin.cell.held)
        )

    def _emptied_before_they_met(self, cell: Cell, replaced: Edit, origin: Edit) -> bool:
        """Whether this nothing, and what was before it, was never agreed: on first contact a value beats nothing.

        A record made anew in the CMMS meets the row of the one before it; its field's first values are news. So are
        those of the record before, in one-way mode, whose messages come late: the row was emptied of another's value.
        """
        given = [origin, *origin.ancestors()]
        late = self.only_told and all(one.cell is not origin.cell for one in replaced.ancestors())
        if (
            cell.side == "dynamics"
            and replaced.value is None
            and self._made_anew(cell)
            and origin.cell.side == "cmms"
            and all(one.cell is origin.cell and (late or one.number > replaced.number) for one in given)
            and (late or origin not in self._buried)
        ):
            return True
        agreed = {edit for one in self._across(cell) for edit in one.held}
        return replaced.value is None and agreed.isdisjoint({replaced, *replaced.ancestors()})

    def _is_emptied_on_both_sides(self, cell: Cell, replaced: Edit, origin: Edit) -> bool:
        """Whether the other side's people had emptied the field as well, both agreed on that, and one went on."""
        went_on = any(one.value is None and one.cell.side != cell.side for one in origin.ancestors())
        return replaced.value is None and went_on and None in self._agreed(cell)

    def _owe(self, replaced: Edit, cell: Cell, by: Held, at: float, origins: Iterable[Edit]) -> None:
        """The record must be there before the write is: afterwards nobody may be left to make it."""
        # A record that was made before the write was sent, and before the ledger was restored, went with the ledger.
        if SENT.get() >= self.ledger_restored:
            self.owed.append(Owed(replaced, cell, cell.value, by, tuple(origins)))
        if cell.value not in self._on_record(cell):
            self.violations.append(f"{at:.3f}: {cell}: {replaced} was replaced by {by!r} before any record named it")

    def _not_back(self, cell: Cell, origins: list[Edit], replaced: Edit, at: float) -> None:
        edited_there = replaced.cell.side == "dynamics"
        if cell.field not in UNIQUE or (cell.side == "dynamics" and cell.field in ONE_WAY and edited_there):
            return
        # What a person put back after a lost answer, an operator's replay writes over, on record.
        # An operator's word has put a value aside, on record, whose write arrives after it: the sides meet again.
        told = across(cell.side) in self.counting or cell.put_back or cell.outdated
        told = told or self._is_silent_before_they_met(cell, replaced)
        if all(edit in replaced.ancestors() for edit in origins) and not (told or self.meets_anew(cell)):
            self.violations.append(f"{at:.3f}: {cell}: {replaced} went back to {origins[-1]}")

    def _is_silent_before_they_met(self, cell: Cell, replaced: Edit) -> bool:
        """Whether a bulk change met a record that was made for a row before the answer to its create was known.

        Nothing tells it from what an earlier try of the create said, which a restored ledger has forgotten: the two
        sides meet for the first time there.
        """
        return replaced.silent and replaced.over == cell.given and not self._agreed(cell)

    def _origins(self, cell: Cell, value: Held) -> list[Edit]:
        """The edits that the other side has held and that may have given this value, oldest first."""
        other = across(cell.side)
        found = {edit for one in self._across(cell) for edit in one.held}
        return sorted(
            (edit for edit in found if self.rules.gives(edit, other, cell.field, value)), key=lambda edit: edit.number
        )

    def _across(self, cell: Cell) -> list[Cell]:
        """The same field of what the cell's record was ever linked with."""
        partners = self.partners[cell.side, cell.entity, cell.record]
        return [self.cell(across(cell.side), cell.entity, one, cell.field) for one in partners]

    def held(self, side: Side, entity: str, field: str, names: Collection[Name]) -> set[Edit]:
        """The edits whose values a side held in this field of these records or rows."""
        return {edit for of, name in names if of == side for edit in self.cell(side, entity, name, field).held}
