"""Between encoded AMQP messages and the queue: what a queue must know of one, and what it adds to one."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from local.emulators.servicebus.amqp.message import Message
from local.emulators.servicebus.amqp.values import CodecError, Int, Symbol, Timestamp
from local.emulators.servicebus.entry import Entry, Submission
from local.emulators.servicebus.limits import check_message

BATCH_FORMAT = 0x80013700
"""The message format of several encoded messages, one in each data section."""

_MESSAGE_ID = 0
_GROUP_ID = 10
_PARTITION_KEY = Symbol("x-opt-partition-key")
_LOCK_TOKEN = Symbol("x-opt-lock-token")
_SEQUENCE_NUMBER = Symbol("x-opt-sequence-number")
_ENQUEUED_TIME = Symbol("x-opt-enqueued-time")
_LOCKED_UNTIL = Symbol("x-opt-locked-until")
_MESSAGE_STATE = Symbol("x-opt-message-state")
_SCHEDULED_TIME = Symbol("x-opt-scheduled-enqueue-time")


def submissions_of(message_format: int, payload: bytes) -> list[Submission[Message]]:
    """The messages of one transfer: one, or those of a batch.

    Raises:
        CodecError: the payload or a message of the batch is malformed.
        QueueError: a message exceeds a limit of the service.
    """
    if message_format == BATCH_FORMAT:
        return [submission_of(part) for part in Message.parse(payload).data_sections()]
    return [submission_of(payload)]


def submission_of(encoded: bytes) -> Submission[Message]:
    """One encoded message with what the queue must know of it; raises as `submissions_of`."""
    message = Message.parse(encoded)
    message_id, session_id = message.property_at(_MESSAGE_ID), message.property_at(_GROUP_ID)
    partition_key = message.annotations.get(_PARTITION_KEY)
    check_message(message, {"message id": message_id, "session id": session_id, "partition key": partition_key})
    ttl = message.time_to_live
    due = message.annotations.get(_SCHEDULED_TIME)
    try:
        scheduled_for = due.instant() if isinstance(due, Timestamp) else None
    except OverflowError as error:
        raise CodecError(f"The message's {_SCHEDULED_TIME} lies outside of the calendar.") from error
    if message_id is None:
        # As the service does; receivers of the JavaScript SDK cannot do without.
        message = message.with_message_id(uuid4().hex)
    return Submission(
        content=message,
        message_id=message_id if message_id is None or isinstance(message_id, str) else repr(message_id),
        time_to_live=timedelta(milliseconds=ttl) if ttl is not None else None,
        scheduled_for=scheduled_for,
        size=len(encoded),
        session_id=session_id if isinstance(session_id, str) else None,
    )


def encoded_for_receiver(entry: Entry[Message], *, peeked: bool = False) -> bytes:
    """The message as a receiver gets it, with the broker's annotations and any dead-letter reason.

    Who only peeks does not learn the lock token of the receiver that has the message.
    """
    delivery_annotations = {_LOCK_TOKEN: entry.lock_token} if entry.lock_token is not None and not peeked else {}
    annotations: dict[Any, Any] = {
        _SEQUENCE_NUMBER: entry.sequence_number,
        _ENQUEUED_TIME: Timestamp.of(entry.enqueued_at),
        _MESSAGE_STATE: Int(entry.state),
    }
    if entry.locked_until is not None:
        annotations[_LOCKED_UNTIL] = Timestamp.of(entry.locked_until)
    message = entry.content
    reasons = {
        "DeadLetterReason": entry.dead_letter_reason,
        "DeadLetterErrorDescription": entry.dead_letter_description,
    }
    given = {name: text for name, text in reasons.items() if text is not None}
    if given:
        message = message.with_application_properties(given)
    ttl = message.time_to_live
    if entry.expires_at is not None:
        ttl = min((entry.expires_at - entry.enqueued_at) // timedelta(milliseconds=1), 0xFFFF_FFFF)
    return message.delivered(entry.delivery_count, delivery_annotations, annotations, ttl)
