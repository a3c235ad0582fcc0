"""Two systems that others filled before the product ever ran: equal, differing and lonely records, and awkward keys."""

from dataclasses import dataclass
from random import Random

from tests.simulation.cmms_model import Fields
from tests.simulation.people import People
from tests.simulation.tables import CHOICES, FIELDS, STATE_OF, TO_STATUS

LONG = 150
"""Characters of a name that Dynamics does not take."""
RETIRED = {"statecode": 1, "statuscode": 2}


@dataclass(frozen=True)
class Found:
    """What was there under one key: the record's id and the row's, None where there was none."""

    entity: str
    key: str
    record: str | None
    row: str | None
    retired: bool = False


class Filling:
    """Fills both sides. Each field of a pair is equal, different, on one side alone, or empty on both."""

    def __init__(self, people: People, rng: Random) -> None:
        self._people = people
        self._rng = rng

    def fill(self) -> list[Found]:
        """Make between four and twenty records; people go on with them later."""
        keys = [("asset", f"A{number:03}") for number in range(self._rng.randint(4, 14))]
        keys += [("order", f"REQ/{number:03}") for number in range(self._rng.randint(0, 6))]
        found = []
        for entity, key in keys:
            found.append(self._one(entity, key))
            if entity == "asset" and self._rng.random() < 0.15:
                # Dynamics takes it for the key before, whichever side has it; the CMMS does not.
                found.append(self._one(entity, key.lower()))
        return found

    def _one(self, entity: str, key: str) -> Found:
        kind = self._rng.choices(("equal", "different", "cmms", "dynamics"), (3, 5, 2, 2))[0]
        record: Fields = {}
        row: dict[str, str] = {}
        for name in FIELDS[entity]:
            self._field(name, kind, record, row)
        if kind in {"cmms", "different"} and entity == "asset" and self._rng.random() < 0.1:
            record["nombre"] = self._people.value("nombre").ljust(LONG, "x")
        ids = self._people.bring(entity, key, record if kind != "dynamics" else None, row if kind != "cmms" else None)
        retired = entity == "asset" and ids[1] is not None and self._rng.random() < 0.1
        if retired:
            self._people.change(entity, str(ids[1]), RETIRED)
        if entity == "order" and ids[1] is not None:
            self._state(ids[1], kind, record.get("estado"))
        return Found(entity, key, *ids, retired)

    def _field(self, name: str, kind: str, record: Fields, row: dict[str, str]) -> None:
        if name in CHOICES:
            record[name] = self._people.value(name)
            return
        weights = (1, 0, 0, 0, 0) if kind == "equal" else (3, 4, 1, 1, 1)
        how = self._rng.choices(("equal", "different", "record", "row", "neither"), weights)[0]
        if name == "nombre" and how not in {"equal", "different"}:
            how = "different"  # neither side has a record without its name
        value = self._people.value(name)
        if how in {"equal", "different", "record"} or name == "fecha_creacion":
            record[name] = value
        if how in {"equal", "different", "row"} and name != "fecha_creacion":
            row[name] = value if how == "equal" else self._people.value(name)

    def _state(self, row: str, kind: str, estado: str | None) -> None:
        status = TO_STATUS[estado] if kind == "equal" and estado is not None else self._rng.choice(tuple(STATE_OF))
        self._people.change("order", row, {"statuscode": status, "statecode": STATE_OF[status]})
