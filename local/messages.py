"""Drop a message on a queue of the local stack, or look at what a queue holds."""

import json
from typing import Annotated

import typer
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusSubQueue

from shared.adapters.service_bus.client import body_of
from shared.domain.messages.events import CONTENT_TYPE, Event
from shared.domain.messages.queues import OF_ENTITY
from shared.flows.routing.parking import printable

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
_Port = Annotated[int, typer.Option(help="the local broker's port")]
_port = 5673


@app.callback()
def main(port: _Port = _port) -> None:
    """Choose the broker."""
    global _port  # noqa: PLW0603  # one command per process
    _port = port


def connect() -> ServiceBusClient:
    """A client for the local broker."""
    return ServiceBusClient.from_connection_string(
        f"Endpoint=sb://localhost:{_port};SharedAccessKeyName=local;SharedAccessKey=local;UseDevelopmentEmulator=true;",
        retry_total=0,
    )


@app.command()
def send(
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="such as energy.asset.upserted or sync.order.dirty")],
    data: Annotated[str, typer.Argument(metavar="DATA", help="the event's data, in JSON")],
) -> None:
    """Send one CloudEvent to the queue of its type, with a fresh id and the present as its time."""
    try:
        event = Event.model_validate({"source": "/by-hand", "type": kind, "data": json.loads(data)})
    except ValueError as error:
        raise typer.BadParameter(f"DATA must be a JSON object: {error}") from None
    queue = OF_ENTITY.get(event.entity)
    if queue is None:
        raise typer.BadParameter(f"TYPE {kind} is not one of the contract's, such as energy.asset.upserted")
    with_time = Event.model_validate(event.model_dump() | {"time": _now()})
    with connect() as client, client.get_queue_sender(queue.name) as sender:
        sender.send_messages(ServiceBusMessage(with_time.to_json(), message_id=event.id, content_type=CONTENT_TYPE))
    typer.echo(f"{queue.name}: sent {event.id}")


@app.command()
def peek(
    queue: Annotated[str, typer.Argument(help="assets, orders or parked")],
    dead_letters: Annotated[bool, typer.Option(help="look at the queue's dead letters")] = False,
) -> None:
    """Show what waits on a queue, without taking it."""
    sub_queue = ServiceBusSubQueue.DEAD_LETTER if dead_letters else None
    with connect() as client, client.get_queue_receiver(queue, sub_queue=sub_queue) as receiver:
        messages = receiver.peek_messages(max_message_count=100)
    for message in messages:
        typer.echo(f"{message.sequence_number}: {_shown(body_of(message))}")
        for name, value in sorted((message.application_properties or {}).items()):
            typer.echo(f"    {_shown(name)}: {_shown(value)}")
    typer.echo(f"{len(messages)} message{'s' if len(messages) != 1 else ''}")


def _shown(value: object) -> str:
    """What any sender may have put there, in characters that a terminal only prints."""
    return printable(value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value))


def _now() -> str:
    from datetime import UTC, datetime  # noqa: PLC0415

    return datetime.now(UTC).isoformat()


if __name__ == "__main__":
    app()
