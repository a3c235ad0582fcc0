"""What stands behind the links on which a client sends: a queue, its management node, the `$cbs` node."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from local.emulators.servicebus.amqp.message import Message, encode_response
from local.emulators.servicebus.amqp.outcomes import ACCEPTED, rejected
from local.emulators.servicebus.amqp.values import CodecError, Described, Int
from local.emulators.servicebus.content import submissions_of
from local.emulators.servicebus.errors import QueueError
from local.emulators.servicebus.faults import Faults
from local.emulators.servicebus.incoming_link import OnMessage
from local.emulators.servicebus.management import respond
from local.emulators.servicebus.namespace import CBS
from local.emulators.servicebus.refusals import refused

if TYPE_CHECKING:
    from local.emulators.servicebus.connection import Connection
    from local.emulators.servicebus.entity import Outlet
    from local.emulators.servicebus.namespace import Namespace

_MESSAGE_ID = 0
_REPLY_TO = 4


def accept_sends(outlet: Outlet, faults: Faults) -> OnMessage:
    """Enqueue what arrives, a batch as a whole or not at all."""

    def on_message(message_format: int, payload: bytes) -> Described:
        refusal = faults.next_refusal()
        if refusal is not None:
            return rejected(refusal.condition, refusal.description)
        try:
            outlet.queue.send(*submissions_of(message_format, payload))
        except CodecError as error:
            return rejected("amqp:decode-error", str(error))
        except QueueError as error:
            return refused(error)
        outlet.touch()
        return ACCEPTED

    return on_message


def cbs_requests(connection: Connection) -> OnMessage:
    """Take any token for what exists: this broker serves one machine and has nothing to protect.

    As in Azure a token for an entity that does not exist is refused with 404, before any link to it is attached, so
    that a client sees a failed authentication: https://github.com/Azure/azure-service-bus/issues/304
    """

    def on_message(_message_format: int, payload: bytes) -> Described:
        try:
            request = Message.parse(payload)
            correlation_id, reply_to = request.property_at(_MESSAGE_ID), request.property_at(_REPLY_TO)
        except CodecError as error:
            return rejected("amqp:decode-error", str(error))
        code, description = token_status(connection.namespace, request)
        status = {"status-code": Int(code), "status-description": description}
        connection.reply(CBS, reply_to, encode_response(correlation_id, status, None))
        return ACCEPTED

    return on_message


def token_status(namespace: Namespace, request: Message) -> tuple[int, str]:
    """The status code and description that answer a request to `$cbs`."""
    if request.application_properties.get("operation") != "put-token":
        return 400, "The only operation is put-token."
    audience = str(request.application_properties.get("name") or "")
    try:
        # An audience without a path is the namespace's own.
        if urlsplit(audience).path.strip("/"):
            namespace.node(audience)
    except (LookupError, ValueError) as missing:
        return 404, str(missing)
    return 202, "Accepted"


def management_requests(connection: Connection, node: str, outlet: Outlet) -> OnMessage:
    """Answer the requests to a queue's `$management`."""

    def on_message(_message_format: int, payload: bytes) -> Described:
        try:
            request = Message.parse(payload)
            response = respond(outlet, request)
            correlation_id, reply_to = request.property_at(_MESSAGE_ID), request.property_at(_REPLY_TO)
        except CodecError as error:
            return rejected("amqp:decode-error", str(error))
        outlet.touch()
        connection.reply(node, reply_to, response.encoded(correlation_id))
        return ACCEPTED

    return on_message
