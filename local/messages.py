"""Drop a message on a queue of the local stack, or look at what a queue holds."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusSubQueue

from ops.settings import read_stack
from shared.adapters.service_bus.client import body_of, mapped
from shared.domain.messages.events import CONTENT_TYPE, Event
from shared.domain.messages.queues import ALL, OF_ENTITY
from shared.errors import NotAuthorized, Unavailable
from shared.flows.routing.parking import printable

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
_Port = Annotated[
    int | None, typer.Option(help="the local broker's port; without it: that of the stack that 'make up' runs")
]
_port: int | None = None


@app.callback()
def main(port: _Port = None) -> None:
    """Choose the broker."""
    global _port  # noqa: PLW0603  # one command per process
    _port = port


@contextmanager
def connected(queue: str) -> Iterator[ServiceBusClient]:
    """A client for the local broker, to use one queue; what goes wrong is a sentence."""
    if queue not in (names := [one.name for one in ALL]):
        raise typer.BadParameter(f"There is no queue {queue}: there are {', '.join(names)}.")
    try:
        connection = read_stack()["ServiceBusConnection"] if _port is None else _connection(_port)
        with mapped(queue), ServiceBusClient.from_connection_string(connection, retry_total=0) as client:
            yield client
    except (Unavailable, NotAuthorized) as error:
        hint = "" if _port is None else f" Does 'make up' run, and is {_port} its broker's port?"
        typer.echo(f"{error.message}{hint}", err=True)
        raise typer.Exit(1) from None


def _connection(port: int) -> str:
    return (
        f"Endpoint=sb://localhost:{port};SharedAccessKeyName=local;SharedAccessKey=local;UseDevelopmentEmulator=true;"
    )


@app.command()
def send(
    kind: Annotated[str, typer.Argument(metavar="TYPE", help="such as energy.asset.upserted or sync.order.dirty")],
    data: Annotated[str, typer.Argument(metavar="DATA", help="the event's data, in JSON")],
) -> None:
    """Send one CloudEvent to the queue of its type, with a fresh id and the present as its time."""
    try:
        held = json.loads(data)
    except ValueError as error:
        raise typer.BadParameter(f"DATA is not JSON: {error}") from None
    if not isinstance(held, dict):
        raise typer.BadParameter(f"DATA must be a JSON object such as {{}}, not {type(held).__name__}")
    event = Event.model_validate({"source": "/by-hand", "type": kind, "data": held})
    queue = OF_ENTITY.get(event.entity)
    if queue is None:
        raise typer.BadParameter(f"TYPE {kind} is not one of the contract's, such as energy.asset.upserted")
    with_time = Event.model_validate(event.model_dump() | {"time": _now()})
    with connected(queue.name) as client, client.get_queue_sender(queue.name) as sender:
        sender.send_messages(ServiceBusMessage(with_time.to_json(), message_id=event.id, content_type=CONTENT_TYPE))
    typer.echo(f"{queue.name}: sent {event.id}")


@app.command()
def peek(
    queue: Annotated[str, typer.Argument(help="assets, orders or parked")],
    dead_letters: Annotated[bool, typer.Option(help="look at the queue's dead letters")] = False,
) -> None:
    """Show what waits on a queue, without taking it."""
    sub_queue = ServiceBusSubQueue.DEAD_LETTER if dead_letters else None
    with connected(queue) as client, client.get_queue_receiver(queue, sub_queue=sub_queue) as receiver:
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
