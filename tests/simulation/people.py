"""People at work on both sides, at any moment, without regard to the integration."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

from local.emulators.dataverse import Dataverse, SystemUser
from local.emulators.dataverse.changes import Caller
from local.emulators.dataverse.errors import DataverseError
from local.emulators.dataverse.rows import Row, TableRows
from tests.simulation.cmms_model import CmmsModel, Fields
from tests.simulation.rules import Rules
from tests.simulation.tables import (
    CHOICES,
    DECIMALS,
    FIELDS,
    KEY_COLUMNS,
    KEYS,
    ONE_WAY,
    STATE_OF,
    TABLES,
    TO_STATUS,
    code_of,
)
from tests.simulation.trace import Trace

NULLABLE = ("numero_de_serie", "valor_adquisicion", "valor_libros", "fecha_adquisicion", "total")


class People:
    """Values are new, but for choices, older ones put back and one given on both sides: so they tell whose they are."""

    def __init__(
        self,
        cmms: CmmsModel,
        dataverse: Dataverse,
        user: SystemUser,
        rng: Random,
        trace: Trace,
        rules: Rules,
        *,
        announced: bool = False,
    ) -> None:
        """`announced`: every change in the CMMS has its message."""
        self._rules = rules
        self._announced = announced
        self._cmms = cmms
        self._dataverse = dataverse
        self._user = user
        self._rng = rng
        self._trace = trace
        self._count = 0
        self._past: dict[tuple[str, str, str], list[str]] = defaultdict(list)
        self.untold: set[tuple[str, str, str]] = set()
        """(side, entity, id) of records with edits that no message announces."""
        self._keys = {
            "asset": [f"A{n:03}" for n in range(rng.randint(1, 4))],
            "order": [f"REQ/{n:03}" for n in range(rng.randint(0, 2))],
        }
        if rng.random() < 0.15:
            # Keys that Dynamics takes for the same, and the CMMS does not.
            self._keys["asset"].append(self._keys["asset"][0].lower())

    async def work(self, actions: int) -> None:
        """Do some things, in bursts and with pauses."""
        choices: list[tuple[Callable[[str, str], None], int]] = [
            (self._cmms_edit, 30),
            (self._dynamics_edit, 26),
            (self._create_in_cmms, 14),
            (self._create_in_dynamics, 6),
            (self._both_edit, 8),
            (self._cmms_rename, 5),
            (self._cmms_delete, 4),
            (self._dynamics_rekey, 2),
            (self._dynamics_delete, 1),
            (self._cmms_silent, 2),
            (self._cmms_mistake, 2),
            (self._cmms_clear, 4),
            (self._dynamics_clear, 3),
            (self._put_back, 5),
            (self._both_alike, 2),
            (self._import, 1),
            (self._cmms_exchange, 2),
        ]
        acts = [act for act, weight in choices for _ in range(weight)]
        for _ in range(actions):
            await asyncio.sleep(self._rng.choice((0.0, 0.05, 0.5, 3.0, 20.0, 120.0)) * self._rng.uniform(0.5, 1.5))
            entity = self._rng.choices(("asset", "order"), (3, 1 if self._keys["order"] else 0))[0]
            key = self._rng.choice(self._keys[entity])
            self._rng.choice(acts)(entity, key)

    def fill(self, row: Row, column: str, value: str) -> None:
        """Enter something in a column that is no field's."""
        rows = self._dataverse.tables[TABLES["asset"]]
        self._dataverse.update(rows, row.id, {column: value}, self._caller())

    def change(self, entity: str, row: str, columns: dict[str, Any]) -> None:
        """Edit a row, whatever its key; a closed one refuses."""
        self._dynamics(entity, row, lambda rows: self._dataverse.update(rows, UUID(row), columns, self._caller()))

    def remove(self, table: str, row: UUID) -> None:
        """Delete a row of any table."""
        self._dataverse.delete(self._dataverse.tables[table], row, self._caller())

    def go_on(self, entity: str, pk: int) -> None:
        """Edit a record of the CMMS, whatever its key, where it is still there."""
        name = "nombre" if entity == "asset" else "justificacion"
        if pk in self._cmms.tables[entity].records:
            self._cmms.edit(entity, pk, {name: self.value(name)})

    def load(self, count: int, *, silent: bool) -> list[str]:
        """Make so many assets in the CMMS, all fields filled in; `silent` without a message. Their keys."""
        keys = []
        for _ in range(count):
            self._count += 1
            keys.append(f"L{self._count}")
            values = {name: self.value(name) for name in FIELDS["asset"]}
            pk = self._cmms.create("asset", keys[-1], values, silent=silent)
            if silent:
                self.untold.add(("cmms", "asset", str(pk)))
        return keys

    def bring(
        self, entity: str, key: str, record: Fields | None, row: dict[str, str] | None
    ) -> tuple[str | None, str | None]:
        """Have a record or a row, or both, of which nothing tells; all values in the CMMS's form.

        Returns:
            The record's id and the row's, None where there is none.
        """
        self._keys[entity] += [key] if key not in self._keys[entity] else []
        for name, value in (*(record or {}).items(), *(row or {}).items()):
            self._past[entity, key, name] += [value] if value is not None and name not in CHOICES else []
        pk = None if record is None else self._cmms.create(entity, key, record, silent=True)
        if row is not None:
            self._make_row(entity, key, row)
        made = self._row(entity, key) if row is not None else None
        return None if pk is None else str(pk), None if made is None else str(made.id)

    def _make_row(self, entity: str, key: str, values: dict[str, str]) -> None:
        columns = self._columns(list(values), values.__getitem__)
        self._dynamics(
            entity,
            key,
            lambda rows: self._dataverse.create(rows, {KEY_COLUMNS[entity]: key, **columns}, self._caller()),
        )

    def empty(self, entity: str, key: str, name: str, *, in_cmms: bool) -> None:
        """Empty a field on one side, where there is a record."""
        row = self._row(entity, key)
        if in_cmms:
            self._edit(entity, key, {name: None})
        elif row is not None:
            self._update(entity, key, row, self._rules.entered(name, None))

    def announce_all(self) -> None:
        """Let the CMMS say everything once more."""
        self._cmms.announce_all()

    def value(self, name: str) -> str:
        """A value that nobody has given before, in the CMMS's form."""
        self._count += 1
        if name == "estado":
            return self._rng.choice(tuple(TO_STATUS))
        if name in DECIMALS:
            return f"{self._count}.{self._count % 100:02}"
        if name == "fecha_adquisicion":
            return (date(2000, 1, 1) + timedelta(days=self._count)).isoformat()
        if name == "fecha_creacion":
            return (datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=self._count)).strftime(
                "%Y-%m-%dT%H:00:00.000000Z"
            )
        return f"{name} {self._count}"

    def _new(self, entity: str, key: str, name: str) -> str:
        value = self.value(name)
        self._past[entity, key, name].append(value)
        return value

    def _put_back(self, entity: str, key: str) -> None:
        """Somebody prefers what a field held before, on either side."""
        name = self._rng.choice([name for name in FIELDS[entity] if name not in CHOICES and name != "fecha_creacion"])
        past = self._past[entity, key, name][-3:]
        if not past:
            return
        value = self._rng.choice(past)
        if self._rng.random() < 0.5 or name in ONE_WAY:
            self._edit(entity, key, {name: value})
        elif (row := self._row(entity, key)) is not None:
            self._update(entity, key, row, self._rules.entered(name, value))

    def _both_alike(self, entity: str, key: str) -> None:
        """Two people give the same new value."""
        if entity != "asset":
            return
        name = self._rng.choice(FIELDS[entity])
        row = self._row(entity, key)
        if self._cmms.find(entity, key) is not None and row is not None:
            value = self._new(entity, key, name)
            self._edit(entity, key, {name: value})
            self._update(entity, key, row, self._rules.entered(name, value))

    def _import(self, entity: str, key: str) -> None:
        """Many records at once, one of them with a name that Dynamics cannot take."""
        if entity != "asset":
            return
        new = []
        for _ in range(self._rng.randint(4, 6)):
            self._count += 1
            new.append(f"I{self._count}")
            self._create_in_cmms(entity, new[-1])
        if self._rng.random() < 0.3:
            self._cmms_mistake(entity, self._rng.choice(new))
        self._keys[entity].append(self._rng.choice(new))

    def _cmms_exchange(self, entity: str, key: str) -> None:
        """Two records exchange their keys."""
        other = self._rng.choice(self._keys[entity])
        if other != key and self._cmms.find(entity, key) is not None and self._cmms.find(entity, other) is not None:
            self._count += 1
            for old, new in ((key, f"X{self._count}"), (other, key), (f"X{self._count}", other)):
                self._renamed(entity, old, new)

    def _edit(self, entity: str, key: str, values: Fields, *, silent: bool = False) -> None:
        """Change the record with this key, if there is one."""
        if (found := self._cmms.find(entity, key)) is not None:
            if silent:
                self.untold.add(("cmms", entity, str(found[0])))
            self._cmms.edit(entity, found[0], values, silent=silent)

    def _renamed(self, entity: str, old: str, new: str) -> None:
        self._edit(entity, old, {KEYS[entity]: new})
        for name in FIELDS[entity]:
            self._past[entity, old, name], self._past[entity, new, name] = [], self._past[entity, old, name]

    def _create_in_cmms(self, entity: str, key: str) -> None:
        if self._cmms.find(entity, key) is not None:
            return
        names = [name for name in FIELDS[entity] if name == "nombre" or self._rng.random() < 0.7]
        self._cmms.create(entity, key, {name: self._new(entity, key, name) for name in names})

    def _cmms_edit(self, entity: str, key: str, *, silent: bool = False) -> None:
        if self._cmms.find(entity, key) is None:
            self._create_in_cmms(entity, key)
            return
        names = self._some(entity)
        self._edit(entity, key, {name: self._new(entity, key, name) for name in names}, silent=silent)

    def _cmms_silent(self, entity: str, key: str) -> None:
        if self._cmms.find(entity, key) is not None and not self._announced:
            self._cmms_edit(entity, key, silent=True)

    def _cmms_clear(self, entity: str, key: str) -> None:
        """Empty a field that both sides agree on: an emptied field that was never agreed is no news to anybody."""
        found, row = self._cmms.find(entity, key), self._row(entity, key)
        if found is None or row is None:
            return
        for name in FIELDS[entity]:
            held = found[1][name]
            if name in NULLABLE and held is not None and _plain(row.values[self._rules.columns[name]]) == _plain(held):
                self._edit(entity, key, {name: None})
                return

    def _dynamics_clear(self, entity: str, key: str) -> None:
        """As in the CMMS."""
        found, row = self._cmms.find(entity, key), self._row(entity, key)
        if found is None or row is None:
            return
        for name in FIELDS[entity]:
            held, empty = found[1][name], self._rules.entered(name, None)
            agreed = held is not None and _plain(row.values[self._rules.columns[name]]) == _plain(held)
            if name in NULLABLE and name not in ONE_WAY and agreed:
                self._update(entity, key, row, empty)
                return

    def _cmms_mistake(self, entity: str, key: str) -> None:
        """A name that Dynamics cannot take."""
        if entity == "asset" and self._cmms.find(entity, key) is not None:
            self._count += 1
            self._edit(entity, key, {"nombre": f"{self._count} ".ljust(150, "x")})

    def _cmms_rename(self, entity: str, key: str) -> None:
        self._count += 1
        new = f"{key.partition('-')[0]}-{self._count}"
        if self._rng.random() < 0.2:
            new = self._rng.choice(self._keys[entity])  # a key that may have been used before
        if self._cmms.find(entity, key) is not None and self._cmms.find(entity, new) is None:
            self._renamed(entity, key, new)
            if self._rng.random() < 0.7:  # else the old key may be used again
                self._keys[entity].append(new)

    def _cmms_delete(self, entity: str, key: str) -> None:
        if (found := self._cmms.find(entity, key)) is not None:
            self._cmms.delete(entity, found[0])
            for name in FIELDS[entity]:
                self._past[entity, key, name] = []

    def _both_edit(self, entity: str, key: str) -> None:
        """Two people edit the same field within the same moment."""
        name = self._rng.choice([name for name in FIELDS[entity] if name != "fecha_creacion"])
        if self._cmms.find(entity, key) is not None:
            self._edit(entity, key, {name: self._new(entity, key, name)})
        self._patch(entity, key, [name])

    def _dynamics_edit(self, entity: str, key: str) -> None:
        names = self._some(entity)
        if self._rng.random() < 0.8:
            names = [name for name in names if name not in ONE_WAY]
        self._patch(entity, key, [name for name in names if name != "fecha_creacion"])

    def _create_in_dynamics(self, entity: str, key: str) -> None:
        if self._row(entity, key) is not None:
            return
        names = [name for name in FIELDS[entity] if name == "nombre" or self._rng.random() < 0.7]
        given = [name for name in names if name not in {"estado", "fecha_creacion"}]
        self._make_row(entity, key, {name: self._new(entity, key, name) for name in given})

    def _dynamics_rekey(self, entity: str, key: str) -> None:
        row = self._row(entity, key)
        if row is not None:
            self._count += 1
            new = {KEY_COLUMNS[entity]: f"{key[:4]}?{self._count}"}
            self._dynamics(entity, key, lambda rows: self._dataverse.update(rows, row.id, new, self._caller()))

    def _dynamics_delete(self, entity: str, key: str) -> None:
        row = self._row(entity, key)
        if row is not None:
            self._dynamics(entity, key, lambda rows: self._dataverse.delete(rows, row.id, self._caller()))

    def _patch(self, entity: str, key: str, names: list[str]) -> None:
        row = self._row(entity, key)
        if row is not None and names:
            self._update(entity, key, row, self._columns(names, lambda name: self._new(entity, key, name)))

    def _update(self, entity: str, key: str, row: Row, columns: dict[str, Any]) -> None:
        self._dynamics(entity, key, lambda rows: self._dataverse.update(rows, row.id, columns, self._caller()))

    def _dynamics(self, entity: str, key: str, act: Callable[[TableRows], object]) -> None:
        try:
            act(self._dataverse.tables[TABLES[entity]])
        except DataverseError as error:
            self._trace("person", f"dynamics {entity} {key}: refused: {error}")

    def _row(self, entity: str, key: str) -> Row | None:
        rows = self._dataverse.tables[TABLES[entity]]
        return next((row for row in rows if row.values[KEY_COLUMNS[entity]] == key), None)

    def _some(self, entity: str) -> list[str]:
        names = [name for name in FIELDS[entity] if name != "fecha_creacion" or self._rng.random() < 0.1]
        return self._rng.sample(names, self._rng.randint(1, 2))

    def _columns(self, names: list[str], give: Callable[[str], str]) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        for name in names:
            if name == "estado":
                status = self._rng.choice(tuple(STATE_OF))
                columns |= {"statuscode": status, "statecode": STATE_OF[status]}
            else:
                columns |= self._rules.entered(name, give(name))
        return columns

    def _caller(self) -> Caller:
        return Caller(user=self._user, correlation_id=UUID(int=self._rng.getrandbits(128), version=4))


def _plain(value: object) -> str:
    if isinstance(value, UUID):
        return code_of(value)
    try:
        return str(Decimal(str(value)).normalize())
    except ArithmeticError:
        return str(value)
