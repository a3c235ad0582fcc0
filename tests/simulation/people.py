"""People at work on both sides, at any moment, without regard to the integration."""

import asyncio
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

from local.dataverse import Dataverse, SystemUser
from local.dataverse.changes import Caller
from local.dataverse.errors import DataverseError
from local.dataverse.rows import Row, TableRows
from tests.simulation.cmms_model import CmmsModel
from tests.simulation.tables import (
    COLUMNS,
    DECIMALS,
    FIELDS,
    KEY_COLUMNS,
    ONE_WAY,
    STATE_OF,
    TABLES,
    TO_STATUS,
)
from tests.simulation.trace import Trace

NULLABLE = ("numero_de_serie", "valor_adquisicion", "valor_libros", "fecha_adquisicion", "total")


class People:
    """Every value that they give is a new one, but for choices; so a value tells whose it is."""

    def __init__(self, cmms: CmmsModel, dataverse: Dataverse, user: SystemUser, rng: Random, trace: Trace) -> None:
        self._cmms = cmms
        self._dataverse = dataverse
        self._user = user
        self._rng = rng
        self._trace = trace
        self._count = 0
        self.unannounced: set[tuple[str, str]] = set()
        """(entity, key) of edits that no message announces."""
        self._keys = {
            "asset": [f"A{n:03}" for n in range(rng.randint(1, 4))],
            "order": [f"REQ/{n:03}" for n in range(rng.randint(0, 2))],
        }

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
        ]
        acts = [act for act, weight in choices for _ in range(weight)]
        for _ in range(actions):
            await asyncio.sleep(self._rng.choice((0.0, 0.05, 0.5, 3.0, 20.0, 120.0)) * self._rng.uniform(0.5, 1.5))
            entity = self._rng.choices(("asset", "order"), (3, 1 if self._keys["order"] else 0))[0]
            key = self._rng.choice(self._keys[entity])
            self._rng.choice(acts)(entity, key)

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

    def _create_in_cmms(self, entity: str, key: str) -> None:
        if self._cmms.find(entity, key) is not None:
            return
        names = [name for name in FIELDS[entity] if name == "nombre" or self._rng.random() < 0.7]
        self._cmms.create(entity, key, {name: self.value(name) for name in names})

    def _cmms_edit(self, entity: str, key: str, *, silent: bool = False) -> None:
        if self._cmms.find(entity, key) is None:
            self._create_in_cmms(entity, key)
            return
        names = self._some(entity)
        self._cmms.edit(entity, key, {name: self.value(name) for name in names}, silent=silent)

    def _cmms_silent(self, entity: str, key: str) -> None:
        if self._cmms.find(entity, key) is not None:
            self.unannounced.add((entity, key))
            self._cmms_edit(entity, key, silent=True)

    def _cmms_clear(self, entity: str, key: str) -> None:
        """Empty a field that both sides agree on: an emptied field that was never agreed is no news to anybody."""
        found, row = self._cmms.find(entity, key), self._row(entity, key)
        if found is None or row is None:
            return
        for name in FIELDS[entity]:
            held = found[1][name]
            if name in NULLABLE and held is not None and _plain(row.values[COLUMNS[name]]) == _plain(held):
                self._cmms.edit(entity, key, {name: None})
                return

    def _cmms_mistake(self, entity: str, key: str) -> None:
        """A name that Dynamics cannot take."""
        if entity == "asset" and self._cmms.find(entity, key) is not None:
            self._count += 1
            self._cmms.edit(entity, key, {"nombre": f"{self._count} ".ljust(150, "x")})

    def _cmms_rename(self, entity: str, key: str) -> None:
        self._count += 1
        new = f"{key.partition('-')[0]}-{self._count}"
        if self._rng.random() < 0.2:
            new = self._rng.choice(self._keys[entity])  # a key that may have been used before
        if self._cmms.find(entity, key) is not None and self._cmms.find(entity, new) is None:
            self._cmms.rename(entity, key, new)
            if self._rng.random() < 0.7:  # else the old key may be used again
                self._keys[entity].append(new)

    def _cmms_delete(self, entity: str, key: str) -> None:
        if self._cmms.find(entity, key) is not None:
            self._cmms.delete(entity, key)

    def _both_edit(self, entity: str, key: str) -> None:
        """Two people edit the same field within the same moment."""
        name = self._rng.choice([name for name in FIELDS[entity] if name != "fecha_creacion"])
        if self._cmms.find(entity, key) is not None:
            self._cmms.edit(entity, key, {name: self.value(name)})
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
        columns = self._columns([name for name in names if name not in {"estado", "fecha_creacion"}])
        self._dynamics(
            entity,
            key,
            lambda rows: self._dataverse.create(rows, {KEY_COLUMNS[entity]: key, **columns}, self._caller()),
        )

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
            columns = self._columns(names)
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

    def _columns(self, names: list[str]) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        for name in names:
            if name == "estado":
                status = self._rng.choice(tuple(STATE_OF))
                columns |= {"statuscode": status, "statecode": STATE_OF[status]}
            else:
                value = self.value(name)
                columns[COLUMNS[name]] = Decimal(value) if name in DECIMALS else value
        return columns

    def _caller(self) -> Caller:
        return Caller(user=self._user, correlation_id=UUID(int=self._rng.getrandbits(128), version=4))


def _plain(value: object) -> str:
    try:
        return str(Decimal(str(value)).normalize())
    except ArithmeticError:
        return str(value)
