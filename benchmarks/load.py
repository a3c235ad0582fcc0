"""The messages of a measurement, and what waits on `parked` after it."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final

from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.servicebus.exceptions import MessageSizeExceededError

from shared.domain.messages.events import CONTENT_TYPE, Event

TABLE: Final = "msdyn_customerasset"
QUEUE: Final = "assets"
# A figure that our mapping lets pass, since it sets no upper limit, and that Dynamics refuses: its columns do.
REFUSED: Final = "1000000000000000.00"
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_PAGE: Final = 250
# Below the limit of 256 KiB: the SDK counts some bytes fewer than it sends.
_BATCH_BYTES: Final = 240_000


def assets(number: int, *, generation: int, bad: frozenset[int] = frozenset()) -> Iterator[dict[str, Any]]:
    """The data of each asset's message; a later generation changes two of its five fields."""
    version = (_START + timedelta(days=generation)).isoformat()
    for index in range(number):
        book_value = REFUSED if index in bad else f"{90_000 - index - generation}.25"
        yield {
            "key": f"AC-{index:06}",
            "version": version,
            "fields": {
                "nombre": f"Bomba centrífuga {index} rev. {generation}",
                "numero_de_serie": f"SN-{index:08}",
                "valor_adquisicion": f"{100_000 + index}.50",
                "valor_libros": book_value,
                "fecha_adquisicion": f"20{index % 25:02}-{index % 12 + 1:02}-{index % 28 + 1:02}",
            },
        }


def columns(one: dict[str, Any], only: Collection[str] | None = None) -> dict[str, Any]:
    """An asset's row for the Web API: its key, and its other columns or `only` some of them."""
    fields = one["fields"]
    row: dict[str, Any] = {
        "msdyn_name": fields["nombre"],
        "msdyn_serialid": fields["numero_de_serie"],
        "msdyn_acquisitioncost": float(fields["valor_adquisicion"]),
        "msdyn_currentbookvalue": float(fields["valor_libros"]),
        "msdyn_acquisitiondate": fields["fecha_adquisicion"],
    }
    chosen = {name: value for name, value in row.items() if only is None or name in only}
    return {"msdyn_assetnumber": one["key"], **chosen}


def send(connection: str, data: Iterable[dict[str, Any]]) -> None:
    """Put a message for each on the queue, under a fresh id."""
    with ServiceBusClient.from_connection_string(connection) as client, client.get_queue_sender(QUEUE) as sender:
        batch = sender.create_message_batch(_BATCH_BYTES)
        for one in data:
            event = Event(source="/energy-cmms", type="energy.asset.upserted", subject=one["key"], data=one)
            message = ServiceBusMessage(event.to_json(), message_id=event.id, content_type=CONTENT_TYPE)
            try:
                batch.add_message(message)
            except MessageSizeExceededError:
                sender.send_messages(batch)
                batch = sender.create_message_batch(_BATCH_BYTES)
                batch.add_message(message)
        sender.send_messages(batch)


def parked(connection: str) -> list[dict[str, str]]:
    """The properties of every parked message."""
    found: list[dict[str, str]] = []
    with ServiceBusClient.from_connection_string(connection) as client, client.get_queue_receiver("parked") as receiver:
        after = 0
        for _ in count():
            page = receiver.peek_messages(max_message_count=_PAGE, sequence_number=after)
            if not page:
                return found
            after = (page[-1].sequence_number or 0) + 1
            found += [
                {_text(name): _text(value) for name, value in (message.application_properties or {}).items()}
                for message in page
            ]
    return found


def landed(rows: Sequence[dict[str, Any]], data: Iterable[dict[str, Any]]) -> int:
    """How many of the messages have everything that they say in their row."""
    by_key = {row["msdyn_assetnumber"]: row for row in rows}
    return sum(one["key"] in by_key and _holds(by_key[one["key"]], one["fields"]) for one in data)


def _holds(row: dict[str, Any], fields: dict[str, str]) -> bool:
    return (
        row["msdyn_name"] == fields["nombre"]
        and row["msdyn_serialid"] == fields["numero_de_serie"]
        and row["msdyn_acquisitiondate"] == fields["fecha_adquisicion"]
        and f"{row['msdyn_acquisitioncost']:.2f}" == fields["valor_adquisicion"]
        and f"{row['msdyn_currentbookvalue'] or 0:.2f}" == fields["valor_libros"]
    )


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
