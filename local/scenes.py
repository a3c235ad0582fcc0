"""The demo's scenes: what is played, what must hold, and the figures to show. In this order, on one stack."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from local import first_sync_scene
from local.playing import CheckError, Player, Row

ASSETS: Final = [f"{number:04d}" for number in range(1, 26)]
ORDERS: Final = [f"REQ-MANT-{number:03d}-2026" for number in range(1, 11)]
BORN_IN_DYNAMICS: Final = "REQ-VENTAS-001-2026"


@dataclass(frozen=True)
class Scene:
    """A title, what is checked, and the play: answers its figures or raises CheckError."""

    title: str
    check: str
    play: Callable[[Player], str]


def cmms_to_dynamics(player: Player) -> str:
    player.reset_figures()
    for number, key in enumerate(ASSETS):
        player.cmms_create(
            "activos",
            {
                "codigo_interno": key,
                "nombre": f"Bomba de agua n.º {number}",
                "serie": None if number % 5 == 0 else f"SN-{key}",
                "costo": f"{1000 + number}.{number:02d}",
                "valor_libros": "800.00",
                "fecha_compra": f"2024-02-{number % 28 + 1:02d}",
            },
        )
    states = ("BORRADOR", "PENDIENTE", "AUTORIZADO", "SOLICITUD_INFORMACION", "RECHAZADO")
    for number, key in enumerate(ORDERS):
        player.cmms_create(
            "requisiciones",
            {
                "numero_requisicion": key,
                "justificacion": f"Repuestos, lote {number}",
                "total": f"{250 * number}.50",
                "estado": states[number % len(states)],
                "fecha_creacion": f"2026-01-{number + 1:02d}T15:30:00Z",
            },
        )
    player.until(
        "25 assets and 10 orders are in Dynamics",
        lambda: set(ASSETS) <= set(assets(player)) and set(ORDERS) <= set(orders(player)),
    )
    player.until_quiet()
    compare_assets(player, ASSETS)
    rows = orders(player)
    statuses = {"BORRADOR": 1, "PENDIENTE": 2, "AUTORIZADO": 3, "SOLICITUD_INFORMACION": 2, "RECHAZADO": 4}
    for number, key in enumerate(ORDERS):
        row = rows[key]
        player.check(f"{key} has its status", row["statuscode"] == statuses[states[number % len(states)]])
        player.check(f"{key} has its total", Decimal(str(row["totalamount"])) == Decimal(f"{250 * number}.50"))
        player.check(f"{key} keeps its date", row["createdon"] == f"2026-01-{number + 1:02d}T15:30:00Z")
    figures = player.dataverse_figures()
    return f"35 records, every field equal; {figures['rows_written']} rows written, {figures['requests']} requests"


def dynamics_to_cmms(player: Player) -> str:
    asset, order = assets(player)[ASSETS[2]], orders(player)[ORDERS[1]]
    player.dynamics_edit("msdyn_customerassets", asset["msdyn_customerassetid"], {"msdyn_currentbookvalue": 612.34})
    player.dynamics_edit("salesorders", order["salesorderid"], {"statecode": 1, "statuscode": 3})
    player.until(
        "the book value is in the CMMS",
        lambda: player.cmms("activos", "codigo_interno")[ASSETS[2]]["valor_libros"] == "612.34",
    )
    player.until(
        "the status is in the CMMS",
        lambda: player.cmms("requisiciones", "numero_requisicion")[ORDERS[1]]["estado"] == "AUTORIZADO",
    )
    player.until_quiet()
    return f"valor_libros of {ASSETS[2]} is 612.34, estado of {ORDERS[1]} is AUTORIZADO"


def born_in_dynamics(player: Player) -> str:
    # Without the native webhook, so that it is the document's signed message that brings the order.
    player.dynamics_create(
        "salesorders",
        {"name": BORN_IN_DYNAMICS, "description": "Pedido directo", "totalamount": 4200.75, "statuscode": 2},
        announced=False,
    )
    row = orders(player)[BORN_IN_DYNAMICS]
    data = {"salesorderid": row["salesorderid"], "name": BORN_IN_DYNAMICS}
    response = player.webhook(json.dumps({"eventType": "salesorder.created", "data": data}).encode())
    player.check("the webhook answers 202 accepted", response.status_code == 202 and "id" in response.json())  # noqa: PLR2004
    player.until(
        "the order is in the CMMS",
        lambda: BORN_IN_DYNAMICS in player.cmms("requisiciones", "numero_requisicion"),
    )
    record = player.cmms("requisiciones", "numero_requisicion")[BORN_IN_DYNAMICS]
    player.check(
        "its fields are there",
        (record["estado"], record["total"], record["justificacion"]) == ("PENDIENTE", "4200.75", "Pedido directo"),
    )
    player.until_quiet()
    return f"202 {response.json()['status']}; {BORN_IN_DYNAMICS} is PENDIENTE over 4200.75"


def refusals(player: Player) -> str:
    body = b'{"eventType": "asset.updated", "data": {"msdyn_assetnumber": "0001"}}'
    before = player.counts()["assets"]
    answers = {
        "forged signature": (player.webhook(body, signature="0" * 64).status_code, 403),
        "no signature": (player.webhook(body, signature="").status_code, 403),
        "GET": (player.webhook(b"", method="GET").status_code, 405),
        "2 MiB": (player.webhook(b"x" * 2_097_152).status_code, 413),
        "not JSON": (player.webhook(b"\xff\xfe").status_code, 400),
        "unknown table": (player.webhook(b'{"eventType": "contact.updated", "data": {}}').status_code, 202),
    }
    for what, (got, wanted) in answers.items():
        player.check(f"{what} is answered {wanted}, not {got}", got == wanted)
    player.check("nothing was enqueued", player.counts()["assets"] == before)
    return ", ".join(f"{what} {got}" for what, (got, _) in answers.items())


def drift(player: Player) -> str:
    asset = assets(player)[ASSETS[4]]
    player.cmms_edit("activos", ASSETS[3], {"nombre": "Compresor, importado"}, announced=False)
    player.dynamics_edit(
        "msdyn_customerassets", asset["msdyn_customerassetid"], {"msdyn_serialid": "SN-CAMBIADO"}, announced=False
    )
    player.until_quiet()
    player.check(
        "Dynamics does not know of the import", assets(player)[ASSETS[3]]["msdyn_name"] != "Compresor, importado"
    )
    player.reconcile()
    player.until("the import is in Dynamics", lambda: assets(player)[ASSETS[3]]["msdyn_name"] == "Compresor, importado")
    player.until(
        "the serial number is in the CMMS",
        lambda: player.cmms("activos", "codigo_interno")[ASSETS[4]]["serie"] == "SN-CAMBIADO",
    )
    player.until_quiet()
    return "2 records drifted, 2 repaired"


def both_edit(player: Player) -> str:
    key = ASSETS[6]
    row = assets(player)[key]
    player.cmms_edit("activos", key, {"nombre": "Nombre del CMMS", "valor_libros": "111.00"}, announced=False)
    player.dynamics_edit(
        "msdyn_customerassets",
        row["msdyn_customerassetid"],
        {"msdyn_name": "Name in Dynamics", "msdyn_currentbookvalue": 222},
        announced=False,
    )
    player.resync("asset", key)
    player.until(
        "the rules decided",
        lambda: (
            assets(player)[key]["msdyn_name"] == "Nombre del CMMS"
            and player.cmms("activos", "codigo_interno")[key]["valor_libros"] == "222.00"
        ),
    )
    player.until_quiet()
    lost = {conflict.field: conflict.lost for conflict in player.ledger("asset", key).conflicts}
    player.check(
        "the losers' values are recorded",
        (lost.get("nombre"), lost.get("valor_libros")) == ("Name in Dynamics", "111"),
    )
    return "nombre: the CMMS won, valor_libros: Dynamics won; the ledger keeps 'Name in Dynamics' and 111"


def poison(player: Player) -> str:
    before = player.counts()["parked"]["active"]
    player.cmms_edit("activos", ASSETS[8], {"nombre": "N" * 150, "costo": "77.70"})
    player.drop("assets", b"\xff\xfe not JSON", b'{"specversion": "1.0"}')
    # Two workers that meet the record at once may each park its field: what is parked is there at least once.
    player.until("3 messages are parked", lambda: player.counts()["parked"]["active"] >= before + 3)
    player.until_quiet()
    reasons = Counter(
        (str(text(properties, "reason")), str(text(properties, "field"))) for properties, _ in player.parked()[before:]
    )
    player.check(
        f"each with its reason: {dict(reasons)}",
        set(reasons) == {("invalid_message", ""), ("mapping_error", "nombre")} and reasons["invalid_message", ""] > 1,
    )
    cost = Decimal(str(assets(player)[ASSETS[8]]["msdyn_acquisitioncost"]))
    player.check("the rest of the record went on", cost == Decimal("77.70"))
    return "2 invalid_message, 1 mapping_error for nombre; its costo arrived all the same"


def nothing_left(player: Player) -> str:
    corrected = "Bomba de agua, corregida"
    player.cmms_edit("activos", ASSETS[8], {"nombre": corrected})
    # The queue is empty also before the relay has sent the message.
    player.until("the correction has arrived", lambda: assets(player)[ASSETS[8]]["msdyn_name"] == corrected)
    player.until_quiet()
    player.reset_figures()
    before = player.cmms("activos", "codigo_interno"), player.cmms("requisiciones", "numero_requisicion")
    for event in ("asset.updated", "salesorder.updated"):
        for key in ASSETS if event.startswith("asset") else [*ORDERS, BORN_IN_DYNAMICS]:
            player.webhook(json.dumps({"eventType": event, "data": {"key": key}}).encode())
    player.resync("asset", *ASSETS)
    player.resync("order", *ORDERS, BORN_IN_DYNAMICS)
    player.reconcile()
    player.until_quiet()
    figures = player.dataverse_figures()
    player.check(f"no write to Dynamics, but {figures['writes']}", figures["writes"] == 0)
    after = player.cmms("activos", "codigo_interno"), player.cmms("requisiciones", "numero_requisicion")
    player.check("no write to the CMMS", before == after)
    compare_assets(player, ASSETS)
    return f"72 messages and a reconciliation: 0 writes, {figures['requests']} reads"


def assets(player: Player) -> dict[str, Row]:
    """Dynamics' assets by key."""
    return player.dynamics("msdyn_customerassets", "msdyn_assetnumber")


def orders(player: Player) -> dict[str, Row]:
    """Dynamics' orders by key."""
    return player.dynamics("salesorders", "name")


def compare_assets(player: Player, keys: list[str]) -> None:
    """Insist that every mapped field of the assets is equal on both sides."""
    rows, records = assets(player), player.cmms("activos", "codigo_interno")
    for key in keys:
        row, record = rows[key], records[key]
        pairs = [
            (row["msdyn_name"], record["nombre"]),
            (row["msdyn_serialid"], record["serie"]),
            (number(row["msdyn_acquisitioncost"]), number(record["costo"])),
            (number(row["msdyn_currentbookvalue"]), number(record["valor_libros"])),
            (row["msdyn_acquisitiondate"], record["fecha_compra"]),
        ]
        for in_dynamics, in_cmms in pairs:
            if in_dynamics != in_cmms:
                raise CheckError(f"{key}: Dynamics holds {in_dynamics!r}, the CMMS {in_cmms!r}")


def number(value: object) -> Decimal | None:
    """A decimal of either side."""
    return None if value is None else Decimal(str(value))


def text(properties: Row, name: str) -> str:
    """A property as text."""
    value = properties.get(name, "")
    return value.decode() if isinstance(value, bytes) else str(value)


SCENES: Final = (
    Scene(
        "First sync",
        "two systems that filled up by themselves are planned and brought together, as the operator chose",
        first_sync_scene.play,
    ),
    Scene("CMMS to Dynamics", "25 assets and 10 orders created in the CMMS arrive, field by field", cmms_to_dynamics),
    Scene(
        "Dynamics to CMMS",
        "a book value and an order's status, edited in Dynamics, arrive by the native webhook",
        dynamics_to_cmms,
    ),
    Scene(
        "Born in Dynamics",
        "an order announced by the document's signed salesorder.created is created in the CMMS",
        born_in_dynamics,
    ),
    Scene("Refusals", "a forged signature and other bad requests are refused, and enqueue nothing", refusals),
    Scene("Drift", "an edit on each side that no message announced is found and repaired", drift),
    Scene("Both edit", "two people edit the same fields: the rule decides, the loser's value is recorded", both_edit),
    Scene("Poison", "bad messages and a value too long are parked with their reason", poison),
    Scene("Once more", "everything announced and compared again changes nothing", nothing_left),
)
