"""The customer's field table once more, as a person reads it: the checker must not lean on the engine's rules."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Final
from uuid import UUID

FIELDS: Final = {
    "asset": ("nombre", "numero_de_serie", "valor_adquisicion", "valor_libros", "fecha_adquisicion"),
    "order": ("justificacion", "total", "estado", "fecha_creacion"),
}
SPARE: Final = "msdyn_assettag"
"""A column of assets that no field has in the customer's mapping."""
KEYS: Final = {"asset": "codigo_interno", "order": "numero_requisicion"}
KEY_COLUMNS: Final = {"asset": "msdyn_assetnumber", "order": "name"}
TABLES: Final = {"asset": "msdyn_customerasset", "order": "salesorder"}
COLLECTIONS: Final = {"asset": "activos", "order": "requisiciones"}
COLUMNS: Final = {
    "nombre": "msdyn_name",
    "numero_de_serie": "msdyn_serialid",
    "valor_adquisicion": "msdyn_acquisitioncost",
    "valor_libros": "msdyn_currentbookvalue",
    "fecha_adquisicion": "msdyn_acquisitiondate",
    "justificacion": "description",
    "total": "totalamount",
    "estado": "statuscode",
    "fecha_creacion": "createdon",
}
REFERRING: Final = "numero_de_serie"
"""What refers to rows of another table where the mapping says so: see `references`."""
TARGETS: Final = "account"
CURRENCY: Final = "transactioncurrencyid"
DECIMALS: Final = frozenset({"valor_adquisicion", "valor_libros", "total"})
CHOICES: Final = frozenset({"estado"})
ONE_WAY: Final = frozenset({"justificacion", "total", "fecha_creacion", *KEYS.values()})
"""What the CMMS alone may say; the business key is one of them."""
DYNAMICS_WINS: Final = frozenset({"valor_libros", "estado"})
"""Where both changed; in the others the CMMS wins."""
UNIQUE: Final = frozenset(COLUMNS) - CHOICES
"""Whose values tell which edit gave them. A key may be used again."""
CELLS: Final = {entity: (KEYS[entity], *names) for entity, names in FIELDS.items()}
"""All that people can edit: the business key is a field as others are."""
ALL_COLUMNS: Final = COLUMNS | {KEYS[entity]: column for entity, column in KEY_COLUMNS.items()}

ACTIVE: Final = "1"
"""The status in which orders are born."""
INACTIVE: Final = "4"
"""The status that orders of deleted records get."""
DEAD_STATE: Final = {"asset": 1, "order": 2}
"""The state into which the rows of deleted records are put."""
TO_STATUS: Final = {
    "BORRADOR": 1,
    "PENDIENTE": 2,
    "SOLICITUD_INFORMACION": 2,
    "AUTORIZADO": 3,
    "VISTO_PROCURA": 3,
    "PROCURA_PROCESANDO": 3,
    "EN_ORDEN_COMPRA": 3,
    "RECHAZADO": 4,
    "CANCELADO": 4,
    "RECIBIDA": 100001,
}
TO_ESTADO: Final = {
    1: "BORRADOR",
    2: "PENDIENTE",
    3: "AUTORIZADO",
    4: "CANCELADO",
    100001: "RECIBIDA",
    100002: "EN_ORDEN_COMPRA",
    100003: "RECIBIDA",
    690970000: "SOLICITUD_INFORMACION",
}
CORRECTED: Final = {"SOLICITUD_INFORMACION": 690970000}
"""What a correction of the table of states may say instead."""
STATE_OF: Final = {1: 0, 2: 0, 690970000: 0, 3: 1, 4: 2, 100001: 3, 100002: 3, 100003: 4}


ROUNDED: Final = {"valor_libros": 1}
"""What Dynamics may keep with fewer digits than it is given."""


def refused_by_cmms(value: str | None) -> bool:
    """Whether the CMMS takes this serial number from people only: a rule of its own that the contract does not tell."""
    return value is not None and value.endswith("7")


def rounded(name: str, value: str | None) -> str | None:
    """What Dynamics keeps of a value where it rounds."""
    if name not in ROUNDED or value is None:
        return value
    text = format(Decimal(value).quantize(Decimal(1).scaleb(-ROUNDED[name]), rounding=ROUND_HALF_UP), "f")
    return text.rstrip("0").rstrip(".") or "0"


_FIRST: Final = 0xACC0 << 112


def row_of(code: str) -> UUID:
    """The id of the row that a serial number stands for, where it refers to one."""
    return UUID(int=_FIRST + int(code.rpartition(" ")[2]))


def code_of(row: UUID) -> str:
    """The serial number that stands for a row."""
    return f"{REFERRING} {row.int - _FIRST}"
