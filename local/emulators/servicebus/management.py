"""The operations of a queue's `$management` node.

Source: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-request-response
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from local.emulators.servicebus.amqp.message import Message, encode_response
from local.emulators.servicebus.amqp.values import Array, CodecError, Int, Symbol, Timestamp
from local.emulators.servicebus.arguments import Arguments, BadArgumentError
from local.emulators.servicebus.content import encoded_for_receiver, submission_of
from local.emulators.servicebus.entity import Outlet
from local.emulators.servicebus.errors import (
    HeaderTooLargeError,
    LockLostError,
    MessageNotFoundError,
    PropertyTooLargeError,
    QueueError,
    QueueFullError,
    SessionLockLostError,
)
from local.emulators.servicebus.queue import Queue

_ARGUMENT_ERROR = "com.microsoft:argument-error"
_MAX_PEEKED = 1000
_PEEK_LOCK = 1  # receiver-settle-mode; 0 is receive and delete
_PREFIX = "com.microsoft:"
_STATUS: dict[type[QueueError], int] = {
    LockLostError: 410,
    SessionLockLostError: 410,
    MessageNotFoundError: 404,
    QueueFullError: 403,
    HeaderTooLargeError: 403,
    PropertyTooLargeError: 500,
}
_END_OF_TIME = 253_402_300_800_000 - 1000  # milliseconds; clients round .NET's DateTime.MaxValue differently


@dataclass(frozen=True)
class Response:
    """What a request is answered with."""

    status: int = 200
    description: str = "OK"
    condition: str | None = None
    value: dict[str, Any] = field(default_factory=dict)

    def encoded(self, correlation_id: object) -> bytes:
        """The reply to the request with that message id."""
        properties: dict[str, Any] = {"statusCode": Int(self.status), "statusDescription": self.description}
        if self.condition is not None:
            properties["errorCondition"] = Symbol(self.condition)
        return encode_response(correlation_id, properties, self.value)


def respond(outlet: Outlet, request: Message) -> Response:
    """Carry a request out. Whatever is wrong with it becomes a response with a status and a condition."""
    operation = request.application_properties.get("operation")
    name = operation.removeprefix(_PREFIX) if isinstance(operation, str) else ""
    run = OPERATIONS.get(name)
    if run is None:
        return Response(501, f"The operation {name[:100]!r} is not supported by this broker.", "amqp:not-implemented")
    try:
        return run(outlet.queue, Arguments(request))
    except QueueError as error:
        return Response(_STATUS.get(type(error), 400), str(error), error.condition)
    except (BadArgumentError, CodecError) as error:
        return Response(400, f"{name}: {error}", _ARGUMENT_ERROR)


def _renew_lock(queue: Queue[Message], arguments: Arguments) -> Response:
    ends = [queue.renew(token) for token in arguments.lock_tokens()]
    return Response(value={"expirations": Array(Timestamp.of(end) for end in ends)})


def _peek(queue: Queue[Message], arguments: Arguments) -> Response:
    start, limit = arguments.number("from-sequence-number"), arguments.number("message-count")
    peeked: list[dict[str, Any]] = []
    size = 0
    for entry in queue.peek(start, max(0, min(limit, _MAX_PEEKED)), session_id=arguments.text("session-id")):
        encoded = encoded_for_receiver(entry, peeked=True)
        size += len(encoded)
        if peeked and size > queue.settings.max_message_bytes:
            break
        peeked.append({"message": encoded})
    if not peeked:
        return Response(204, "There is no message from that number on.", MessageNotFoundError.condition)
    return Response(value={"messages": peeked})


def _schedule(queue: Queue[Message], arguments: Arguments) -> Response:
    items = arguments.get("messages")
    if not isinstance(items, list) or not items:
        raise BadArgumentError("'messages' must be a list of at least one message.")
    submissions = []
    for item in items:
        encoded = item.get("message") if isinstance(item, dict) else None
        if not isinstance(encoded, bytes):
            raise BadArgumentError("Each of 'messages' must carry the encoded 'message'.")
        if len(encoded) > queue.settings.max_message_bytes:
            description = f"A message is larger than {queue.settings.max_message_bytes} bytes."
            return Response(403, description, "amqp:link:message-size-exceeded")
        submissions.append(submission_of(encoded))
    return Response(value={"sequence-numbers": Array(queue.send(*submissions))})


def _cancel(queue: Queue[Message], arguments: Arguments) -> Response:
    queue.cancel_scheduled(arguments.numbers("sequence-numbers"))
    return Response()


def _receive(queue: Queue[Message], arguments: Arguments) -> Response:
    delete = arguments.number("receiver-settle-mode") != _PEEK_LOCK
    numbers, session_id = arguments.numbers("sequence-numbers"), arguments.text("session-id")
    entries = queue.receive_deferred(numbers, delete=delete, session_id=session_id)
    messages: list[dict[str, Any]] = []
    for entry in entries:
        token = {} if entry.lock_token is None else {"lock-token": entry.lock_token}
        messages.append(token | {"message": encoded_for_receiver(entry)})
    return Response(value={"messages": messages})


def _update_disposition(queue: Queue[Message], arguments: Arguments) -> Response:
    status, reason = arguments.text("disposition-status") or "", arguments.text("deadletter-reason")
    description = arguments.text("deadletter-description")
    settle: dict[str, Callable[[UUID], None]] = {
        "completed": queue.complete,
        "abandoned": queue.abandon,
        "defered": queue.defer,
        "suspended": lambda token: queue.dead_letter(token, reason, description),
    }
    if status not in settle:
        raise BadArgumentError(f"'disposition-status' must be one of {', '.join(map(str, settle))}.")
    for token in arguments.lock_tokens():
        entry = queue.locked(token)
        entry.content = entry.content.with_application_properties(arguments.changes())
        settle[status](token)
    return Response()


def _renew_session_lock(queue: Queue[Message], arguments: Arguments) -> Response:
    return Response(value={"expiration": Timestamp.of(queue.with_sessions().renew_session(arguments.session_id()))})


def _get_session_state(queue: Queue[Message], arguments: Arguments) -> Response:
    return Response(value={"session-state": queue.with_sessions().session_state(arguments.session_id())})


def _set_session_state(queue: Queue[Message], arguments: Arguments) -> Response:
    state = arguments.get("session-state")
    if state is not None and not isinstance(state, bytes):
        raise BadArgumentError("'session-state' must be binary or null.")
    if state is not None and len(state) > queue.settings.max_message_bytes:
        raise BadArgumentError(f"'session-state' is larger than {queue.settings.max_message_bytes} bytes.")
    queue.with_sessions().set_session_state(arguments.session_id(), state)
    return Response()


def _get_message_sessions(queue: Queue[Message], arguments: Arguments) -> Response:
    skip, top = arguments.number("skip"), arguments.number("top")
    # The last instant of .NET's calendar asks for all sessions instead of the recently updated ones.
    after = None if arguments.number("last-updated-time") >= _END_OF_TIME else arguments.instant("last-updated-time")
    every = queue.with_sessions().session_ids(after)
    page = every[max(skip, 0) : max(skip, 0) + max(top, 0)]
    if not page:
        return Response(204, "There are no sessions.", "com.microsoft:session-not-found")
    return Response(value={"skip": Int(skip + len(page)), "sessions-ids": Array(page)})


OPERATIONS: dict[str, Callable[[Queue[Message], Arguments], Response]] = {
    "renew-lock": _renew_lock,
    "peek-message": _peek,
    "schedule-message": _schedule,
    "cancel-scheduled-message": _cancel,
    "receive-by-sequence-number": _receive,
    "update-disposition": _update_disposition,
    "renew-session-lock": _renew_session_lock,
    "get-session-state": _get_session_state,
    "set-session-state": _set_session_state,
    "get-message-sessions": _get_message_sessions,
}
