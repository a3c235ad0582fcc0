"""Queue functions that remember what they were given and do what the body says."""

import asyncio
import json
import time
from typing import Any, List  # noqa: UP035 - the runtime refuses list[...]

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
blueprint = func.Blueprint()
seen: list[dict[str, Any]] = []


def _describe(message: func.ServiceBusMessage) -> dict[str, Any]:
    return {
        "body": message.get_body().decode(errors="replace"),
        "hex": message.get_body().hex(),
        "id": message.message_id,
        "correlation": message.correlation_id,
        "subject": message.subject,
        "delivery": message.delivery_count,
        "sequence": message.sequence_number,
        "properties": message.application_properties,
        "enqueued": message.enqueued_time_utc.isoformat() if message.enqueued_time_utc else None,
        "expires": message.expires_at_utc.isoformat() if message.expires_at_utc else None,
        "content_type": message.content_type,
        "metadata": sorted(message.metadata or {}),
    }


async def _obey(message: func.ServiceBusMessage) -> None:
    """Do what a body asks for: `fail` always; `block 2` (stall the worker's loop) and `sleep 2` the first time."""
    verb, _, seconds = message.get_body().decode().partition(" ")
    if verb != "fail" and message.delivery_count != 1:
        return
    match verb:
        case "fail":
            raise RuntimeError("told to fail")
        case "block":
            time.sleep(float(seconds))  # noqa: ASYNC251 - the point of it
        case "sleep":
            await asyncio.sleep(float(seconds))


@blueprint.service_bus_queue_trigger(
    arg_name="messages", queue_name="%BATCH_QUEUE%", connection="Bus", cardinality="MANY"
)
async def many(messages: List[func.ServiceBusMessage]) -> None:  # noqa: UP006 - see the import
    """One batch."""
    seen.append({"function": "many", "messages": [_describe(message) for message in messages]})
    for message in messages:
        await _obey(message)


@blueprint.service_bus_queue_trigger(
    arg_name="messages",
    queue_name="binary",
    connection="Bus",
    cardinality=func.Cardinality.MANY,
    data_type=func.DataType.BINARY,
)
async def many_bytes(messages: List[func.ServiceBusMessage]) -> None:  # noqa: UP006 - see the import
    """One batch, bound as bytes."""
    seen.append({"function": "many_bytes", "messages": [_describe(message) for message in messages]})


@blueprint.service_bus_queue_trigger(arg_name="message", queue_name="singles", connection="Bus")
async def one(message: func.ServiceBusMessage) -> None:
    """One message."""
    entry = {"function": "one", "messages": [_describe(message)], "began": time.monotonic(), "ended": None}
    seen.append(entry)
    await _obey(message)
    entry["ended"] = time.monotonic()


@blueprint.route("seen")
def report(req: func.HttpRequest) -> func.HttpResponse:
    """What the functions were given since the last question."""
    taken = list(seen)
    seen.clear()
    return func.HttpResponse(json.dumps(taken), mimetype="application/json")


app.register_functions(blueprint)
