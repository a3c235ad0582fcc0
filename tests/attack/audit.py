"""What the CMMS's people did, by a log of its database: over what each of their values was given."""

import json
from contextlib import closing
from copy import replace

from tests.attack.places import EDITED, ENTITIES, MODEL_COLUMNS, MODELS
from tests.attack.systems import Systems
from tests.simulation.observe import normal


class Audit:
    """The log, which triggers of the database write. It goes back with a restored database; what was read stays."""

    def __init__(self, systems: Systems) -> None:
        self._systems = systems
        self._audited = 0
        self._told: set[tuple[str, str]] = set()

    def begin(self) -> None:
        """Have the CMMS's database log each change of a record, whoever makes it."""
        with closing(self._systems.database()) as database, database:
            database.execute(
                "CREATE TABLE attack_log (id INTEGER PRIMARY KEY, entity TEXT, key TEXT, before TEXT, after TEXT)"
            )
            for name, entity in ENTITIES.items():
                old, new = (
                    ", ".join(f"'{one}', {row}.{MODEL_COLUMNS.get(one, one)}" for one in EDITED[name])
                    for row in ("OLD", "NEW")
                )
                database.execute(
                    f"CREATE TRIGGER attack_new_{name} AFTER INSERT ON {MODELS[name]} BEGIN INSERT INTO attack_log"  # noqa: S608 - our own names
                    f" (entity, key, before, after) VALUES ('{name}', NEW.{entity.key}, '{{}}',"
                    f" json_object({new})); END"
                )
                database.execute(
                    f"CREATE TRIGGER attack_{name} AFTER UPDATE ON {MODELS[name]} BEGIN INSERT INTO attack_log"  # noqa: S608 - our own names
                    f" (entity, key, before, after) VALUES ('{name}', NEW.{entity.key}, json_object({old}),"
                    f" json_object({new})); END"
                )

    def read(self) -> None:
        """Tell the journal over what the CMMS's people gave their values."""
        with closing(self._systems.database()) as database:
            rows = database.execute("SELECT * FROM attack_log WHERE id > ? ORDER BY id", (self._audited,)).fetchall()
        journal = self._systems.journal
        mine = {
            (record, one.value): one
            for record, said in journal.said.items()
            for one in said
            if one.side == "cmms" and one.value is not None
        }
        emptied = {(record, one.place): one for record, said in journal.said.items() for one in said if not one.value}
        for row in rows:
            record, before, after = (
                journal.name(row["key"]),
                json.loads(row["before"]),
                json.loads(row["after"]),
            )
            for name in after:
                old, new = normal(name, before.get(name)), normal(name, after[name])
                if new is None and old is not None and (record, name) in emptied:
                    journal.note(replace(emptied[record, name], over=old))
                if new is None or new == old or (record, new) not in mine or (record, new) in self._told:
                    continue
                self._told.add((record, new))
                if mine[record, new].over != old:
                    journal.over(record, "cmms", new, old)
        self._audited = max([self._audited, *(row["id"] for row in rows)])

    def went_back(self) -> None:
        """Go on from what a restored database has logged."""
        with closing(self._systems.database()) as database:
            self._audited = database.execute("SELECT coalesce(max(id), 0) FROM attack_log").fetchone()[0]
