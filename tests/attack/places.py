"""Where people enter what, and values of which no two are alike."""

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count
from typing import Final

from tests.simulation.tables import COLLECTIONS, COLUMNS, DECIMALS, FIELDS, KEY_COLUMNS, KEYS, SPARE

SETS: Final = {"asset": "msdyn_customerassets", "order": "salesorders"}
IDS: Final = {"asset": "msdyn_customerassetid", "order": "salesorderid"}
MODELS: Final = {"asset": "inventario_activo", "order": "inventario_requisicion"}
MODEL_COLUMNS: Final = {"numero_de_serie": "serie", "valor_adquisicion": "costo", "fecha_adquisicion": "fecha_compra"}
"""The columns of the CMMS's tables that are not called as the field."""
EDITED: Final = {entity: tuple(name for name in FIELDS[entity] if name != "fecha_creacion") for entity in FIELDS}
"""The fields that people edit."""
COLUMN_FIELDS: Final = {column: name for name, column in COLUMNS.items()} | {SPARE: SPARE}


@dataclass(frozen=True)
class Entity:
    """One entity as both systems call it."""

    name: str

    @property
    def collection(self) -> str:
        """The CMMS's table, in its addresses."""
        return COLLECTIONS[self.name]

    @property
    def key(self) -> str:
        """The business key's name in the CMMS."""
        return KEYS[self.name]

    @property
    def key_column(self) -> str:
        """The business key's column in Dynamics."""
        return KEY_COLUMNS[self.name]

    @property
    def set(self) -> str:
        """The table's set in the Web API."""
        return SETS[self.name]

    @property
    def id(self) -> str:
        """The column of the row's GUID."""
        return IDS[self.name]


ENTITIES: Final = {name: Entity(name) for name in FIELDS}
_numbers = count(1)


def unique(place: str) -> str:
    """A value for a field or column that nobody has given before, in the form in which values are compared."""
    name, number = COLUMN_FIELDS.get(place, place), next(_numbers)
    if name in DECIMALS:
        return f"{number}.{number % 9 + 1}"
    if name == "fecha_adquisicion":
        return (date(1901, 1, 1) + timedelta(days=number)).isoformat()
    return f"{name} {number}"


def written(place: str, value: str | None) -> object:
    """A value as a request to Dynamics carries it."""
    if value is not None and COLUMN_FIELDS.get(place, place) in DECIMALS:
        return float(value)
    return value
