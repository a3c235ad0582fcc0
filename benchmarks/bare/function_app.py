"""The least that a webhook must do: check the document's signature, put the body on the queue, answer.

Beside it the product's webhook is measured: what parsing, recognizing the record, refusing what is unusable, detecting
duplicates and logging cost.
"""

import asyncio
import hashlib
import hmac
import json
import os

import azure.functions as func
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
senders: list[ServiceBusSender] = []
# The SDK's sender does not open its link twice at once.
one_at_a_time = asyncio.Lock()


@app.function_name("webhook")
@app.route("dynamics/webhook", methods=[func.HttpMethod.POST])
async def webhook(req: func.HttpRequest) -> func.HttpResponse:
    """Take one body."""
    body = req.get_body()
    secret = os.environ["DYNAMICS_365_WEBHOOK_SECRET"].encode()
    expected = hmac.new(secret, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, req.headers.get("x-ms-signature", "")):
        return func.HttpResponse(json.dumps({"error": "Invalid signature"}), status_code=403)
    if not senders:
        client = ServiceBusClient.from_connection_string(os.environ["ServiceBusConnection"])  # noqa: SIM112
        senders.append(client.get_queue_sender("assets"))
    async with one_at_a_time:
        await senders[0].send_messages(ServiceBusMessage(body))
    return func.HttpResponse(json.dumps({"status": "accepted"}), status_code=202)
