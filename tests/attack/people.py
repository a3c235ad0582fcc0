"""The load: people of both sides who edit, empty, create, rename and delete, beside each other."""

import threading
import time
from collections.abc import Collection, Mapping
from random import Random
from typing import Any, Final, Self

import httpx

from local.playing import UNANNOUNCED, Patient
from local.stack import Stack
from tests.attack.journal import Held, Journal, Said, Side
from tests.attack.places import COLUMN_FIELDS, EDITED, ENTITIES, MODEL_COLUMNS, Entity, unique, written
from tests.attack.systems import now
from tests.simulation.observe import normal
from tests.simulation.tables import COLUMNS, ONE_WAY, SPARE

COLUMN_OF_STATE: Final = COLUMNS["estado"]
_HOT: Final = 25
"""How many records people of both sides edit most, so that their edits meet."""


class People:
    """One person of each side; `hold` makes a side's wait, as they must while it is away."""

    def __init__(self, stack: Stack, journal: Journal, seed: int, *, rate: float) -> None:
        self.stack = stack
        self.journal = journal
        self.edits = {"cmms": 0, "dynamics": 0}
        self.gates: dict[Side, threading.Lock] = {"cmms": threading.Lock(), "dynamics": threading.Lock()}
        self.failure: BaseException | None = None
        self._random = {side: Random(f"{seed} {side}") for side in self.gates}  # noqa: S311 - a play
        self._pause = 1 / rate
        self._stop = threading.Event()
        self._http = httpx.Client(timeout=60, trust_env=False, transport=Patient())
        self._headers = {"Authorization": f"Bearer {stack.person_token()}"}
        self._turn = threading.Lock()
        self.keys: dict[str, list[str]] = {name: [] for name in ENTITIES}
        """The living records' keys, by entity."""
        self._threads = [threading.Thread(target=self._work, args=(side,), daemon=True) for side in self.gates]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._http.close()

    def _work(self, side: Side) -> None:
        rng = self._random[side]
        try:
            while not self._stop.wait(rng.uniform(0, 2 * self._pause)):
                with self.gates[side]:
                    if not self._stop.is_set():
                        self._act(side, rng)
        except BaseException as error:  # noqa: BLE001 - told by the play, which waits for it
            self.failure = error

    def _act(self, side: Side, rng: Random) -> None:
        entity = ENTITIES["asset" if rng.random() < 0.65 else "order"]
        act = rng.random()
        if side == "cmms":
            if act < 0.05:
                self.create_in_cmms(entity)
            elif act < 0.07:
                self._delete_in_cmms(entity, self._key(entity, rng))
            elif act < 0.09:
                self._rename(entity, self._key(entity, rng))
            else:
                self._edit_in_cmms(entity, self._key(entity, rng), rng)
        elif act < 0.03:
            self._create_in_dynamics(entity)
        elif act < 0.035:
            self._delete_row(entity, self._key(entity, rng))
        else:
            self._edit_in_dynamics(entity, self._key(entity, rng), rng)
        self.edits[side] += 1

    def _key(self, entity: Entity, rng: Random) -> str:
        with self._turn:
            keys = self.keys[entity.name]
            return rng.choice(keys[:_HOT] if rng.random() < 0.4 else keys)

    def look_again(self, shown: Mapping[str, Collection[str]]) -> None:
        """Take notice of all records that a restored side shows, under each of their keys.

        Args:
            shown: Records by entity.
        """
        with self._turn:
            for name, records in shown.items():
                known = set(self.keys[name])
                self.keys[name] += [
                    key for key, record in self.journal.names.items() if record in records and key not in known
                ]

    # The CMMS

    def create_in_cmms(self, entity: Entity) -> None:
        """Create a record with all its fields."""
        key = unique("K")
        values: dict[str, Held] = {name: unique(name) for name in EDITED[entity.name] if name != "estado"}
        answer = self._http.post(f"{self._cmms(entity)}/", json={entity.key: key, **values})
        answer.raise_for_status()
        self._note("cmms", key, values, dict.fromkeys(values))
        with self._turn:
            self.keys[entity.name].append(key)

    def _edit_in_cmms(self, entity: Entity, key: str, rng: Random) -> None:
        before = self._http.get(f"{self._cmms(entity)}/{key}/")
        if before.status_code == httpx.codes.NOT_FOUND:
            return
        names = rng.sample(EDITED[entity.name], 2 if rng.random() < 0.3 else 1)
        values: dict[str, Held] = {name: unique(name) for name in names if name != "estado"}
        if rng.random() < 0.05 and "nombre" not in values and "justificacion" not in values:
            values = dict.fromkeys(values)
        over = {name: normal(name, before.json()[MODEL_COLUMNS.get(name, name)]) for name in values}
        # Noted first: what the integration carries on meanwhile must be known to be a person's.
        self._note("cmms", key, values, over)
        state = {"estado": rng.choice(("BORRADOR", "PENDIENTE", "SOLICITUD_INFORMACION"))} if "estado" in names else {}
        query = "?silencioso=1" if rng.random() < 0.08 else ""
        answer = self._http.patch(f"{self._cmms(entity)}/{key}/{query}", json={**values, **state})
        answer.raise_for_status()
        # A deleted record that lives again through a restore lives on once a person has changed it.
        self.journal.deleted.discard(self.journal.name(key))

    def _rename(self, entity: Entity, key: str) -> None:
        new = unique("K")
        self.journal.renamed(key, new)
        answer = self._http.patch(f"{self._cmms(entity)}/{key}/", json={entity.key: new})
        if answer.status_code == httpx.codes.NOT_FOUND:
            return
        answer.raise_for_status()
        with self._turn:
            if key in self.keys[entity.name]:
                self.keys[entity.name].remove(key)
                self.keys[entity.name].append(new)

    def _delete_in_cmms(self, entity: Entity, key: str) -> None:
        deleted, record = self.journal.deleted, self.journal.name(key)
        # Noted first, and taken back where there is no such key: the record may have another one by now.
        was = record in deleted
        deleted.add(record)
        answer = self._http.delete(f"{self._cmms(entity)}/{key}/")
        if answer.status_code != httpx.codes.NOT_FOUND:
            answer.raise_for_status()
        elif not was:
            deleted.discard(record)
        self._drop(entity, key)

    def _cmms(self, entity: Entity) -> str:
        return f"{self.stack.cmms_url}/demo/{entity.collection}"

    # Dynamics

    def _create_in_dynamics(self, entity: Entity) -> None:
        key = unique("K")
        values: dict[str, Held] = {COLUMNS[name]: unique(name) for name in EDITED[entity.name] if name != "estado"}
        body = {entity.key_column: key, **{column: written(column, value) for column, value in values.items()}}
        self._http.post(self._rows(entity), json=body, headers=self._headers).raise_for_status()
        self._note("dynamics", key, values, dict.fromkeys(values))

    def _edit_in_dynamics(self, entity: Entity, key: str, rng: Random) -> None:
        row = self._row(entity, key)
        if row is None or row["statecode"] != 0:
            return
        columns = [COLUMNS[name] for name in EDITED[entity.name] if name not in ONE_WAY or rng.random() < 0.2]
        columns += [SPARE] if entity.name == "asset" else []
        some = rng.sample(columns, 2 if rng.random() < 0.3 and len(columns) > 1 else 1)
        values: dict[str, Held] = {column: unique(column) for column in some if column != COLUMN_OF_STATE}
        if rng.random() < 0.05 and "msdyn_name" not in values:
            values = dict.fromkeys(values)
        over = {column: normal(_field(column), row[column]) for column in values}
        state = {"statuscode": rng.choice((1, 2))} if COLUMN_OF_STATE in some else {}
        body = {**{column: written(column, value) for column, value in values.items()}, **state}
        headers = {**self._headers, "If-Match": row["@odata.etag"]}
        headers |= UNANNOUNCED if rng.random() < 0.08 else {}
        answer = self._http.patch(f"{self._rows(entity)}({row[entity.id]})", json=body, headers=headers)
        if answer.status_code in {httpx.codes.PRECONDITION_FAILED, httpx.codes.NOT_FOUND}:
            return
        answer.raise_for_status()
        self._note("dynamics", key, values, over)

    def _delete_row(self, entity: Entity, key: str) -> None:
        row = self._row(entity, key)
        if row is None:
            return
        held = frozenset(normal(COLUMN_FIELDS[column], row[column]) for column in row.keys() & COLUMN_FIELDS)
        self.journal.rows_deleted[self.journal.name(key)] = held
        self._http.delete(f"{self._rows(entity)}({row[entity.id]})", headers=self._headers).raise_for_status()
        self._drop(entity, key)

    def _row(self, entity: Entity, key: str) -> dict[str, Any] | None:
        query = {"$filter": f"{entity.key_column} eq '{key}'"}
        answer = self._http.get(self._rows(entity), params=query, headers=self._headers)
        answer.raise_for_status()
        return next(iter(answer.json()["value"]), None)

    def _rows(self, entity: Entity) -> str:
        return f"{self.stack.web_api_url}/{entity.set}"

    # Both

    def _drop(self, entity: Entity, key: str) -> None:
        with self._turn:
            if key in self.keys[entity.name]:
                self.keys[entity.name].remove(key)

    def _note(self, side: Side, key: str, values: dict[str, Held], over: dict[str, Held]) -> None:
        record, at = self.journal.name(key), now()
        for place, value in values.items():
            self.journal.note(Said(side, record, place, value, over[place], at))

    def play(self, seconds: float) -> None:
        """Let people work for some time.

        Raises:
            BaseException: What one of them met.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.2)
            if self.failure is not None:
                raise self.failure


def _field(column: str) -> str:
    return next((name for name, one in COLUMNS.items() if one == column), column)
