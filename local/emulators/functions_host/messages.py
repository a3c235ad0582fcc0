"""How a Service Bus message reaches a Python function: as a value and as trigger metadata.

The real host's conversions are followed with their losses, because an app has to live with them:
- a text binding decodes bodies as UTF-8, with U+FFFD for what is not; a binary one (`data_type=BINARY`) takes bytes as
  they are, the empty ones too;
- a body that is an AMQP value or sequence has no bytes: a binary binding fails before the function is called, and so
  does a text binding unless the value is text;
- arrays of text lose empty and missing entries, so values of a batch can shift to another message;
- top-level fields of a JSON body overwrite a single message's metadata of the same name, whatever its case;
- times named `...Utc` arrive without a zone.

Sources: ServiceBusTriggerBindingStrategy, MessageToByteArrayConverter, MessageToStringConverter and
AmqpMessageExtensions.GetBody in https://github.com/Azure/azure-sdk-for-net, and GrpcMessageConversionExtensions
(ToRpcByteArray keeps empty entries, ToRpcStringArray does not) and ScriptInvocationContext in
https://github.com/Azure/azure-functions-host
"""

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from types import SimpleNamespace
from typing import Any

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.amqp import AmqpMessageBodyType

from local.emulators.functions_host.protos import TypedData

_NEVER = "9999-12-31T23:59:59.9999999"
_ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,7})?(?:Z|[+-]\d\d:\d\d)?")
# Newtonsoft's words for them.
_WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_TEXTS = (
    "DeadLetterSource",
    "LockToken",
    "MessageId",
    "ContentType",
    "ReplyTo",
    "To",
    "Subject",
    "Label",
    "CorrelationId",
    "SessionId",
    "ReplyToSessionId",
    "PartitionKey",
    "TransactionPartitionKey",
)


class NotBindable(Exception):
    """A message has a body that the binding's type cannot be made of."""


def single(message: ServiceBusReceivedMessage, *, binary: bool) -> tuple[TypedData, dict[str, TypedData]]:
    """Value and metadata for a function that takes one message.

    Raises:
        NotBindable: the body is no bytes.
    """
    metadata = {name: _typed(value) for name, value in _properties(message).items()}
    if binary:
        return TypedData(bytes=_bytes(message)), metadata
    text = _decoded(message)
    return TypedData(string=text), _shadowed(metadata, text)


def batch(messages: Sequence[ServiceBusReceivedMessage], *, binary: bool) -> tuple[TypedData, dict[str, TypedData]]:
    """Value and metadata for a function that takes a list of messages.

    Raises:
        NotBindable: one of the bodies is no bytes.
    """
    rows = [_properties(message) for message in messages]
    metadata = {f"{name}Array": _array(name, [row[name] for row in rows]) for name in rows[0]}
    if binary:
        return TypedData(collection_bytes=SimpleNamespace(bytes=[_bytes(message) for message in messages])), metadata
    return _texts([_decoded(message) for message in messages]), metadata


def _properties(message: ServiceBusReceivedMessage) -> dict[str, Any]:
    properties = {_text(k): _plain(v) for k, v in (message.application_properties or {}).items()}
    expires, enqueued = message.expires_at_utc, message.enqueued_time_utc
    texts = (
        message.dead_letter_source,
        str(message.lock_token),
        message.message_id,
        message.content_type,
        message.reply_to,
        message.to,
        message.subject,
        message.subject,
        message.correlation_id,
        message.session_id,
        message.reply_to_session_id,
        message.partition_key,
        None,
    )
    return {
        # The .NET client counts the current delivery, AMQP only those before it.
        "DeliveryCount": (message.delivery_count or 0) + 1,
        "SequenceNumber": message.sequence_number,
        "ExpiresAtUtc": _zoneless(expires) if expires else _NEVER,
        "ExpiresAt": f"{_zoneless(expires) if expires else _NEVER}+00:00",
        "EnqueuedTimeUtc": _zoneless(enqueued) if enqueued else None,
        "EnqueuedTime": f"{_zoneless(enqueued)}+00:00" if enqueued else None,
        "ApplicationProperties": properties,
        "UserProperties": properties,
        **{name: None if value is None else _text(value) for name, value in zip(_TEXTS, texts, strict=True)},
    }


def _typed(value: Any) -> TypedData:
    """One value of a single message. Times are JSON, as is every .NET type without a protobuf kind."""
    if value is None:
        return TypedData()
    if isinstance(value, str) and not _ISO_TIME.match(value):
        return TypedData(string=value)
    return TypedData(json=json.dumps(value))


def _array(name: str, values: list[Any]) -> TypedData:
    if name in _TEXTS:
        return _texts(values)
    if name == "SequenceNumber":
        return TypedData(collection_sint64=SimpleNamespace(sint64=values))
    return TypedData(json=json.dumps(values))


def _texts(values: Sequence[str | None]) -> TypedData:
    return TypedData(collection_string=SimpleNamespace(string=[value for value in values if value]))


def _shadowed(metadata: Mapping[str, TypedData], body: str) -> dict[str, TypedData]:
    """The metadata as the body's own top-level fields leave it: arrays and nulls apart, they win."""
    try:
        document = json.loads(body)
    except ValueError:
        return dict(metadata)
    if not isinstance(document, dict):
        return dict(metadata)
    names = {name.casefold(): name for name in metadata}
    result = dict(metadata)
    for field, value in document.items():
        if value is None or isinstance(value, list):
            continue
        name = names.setdefault(field.casefold(), field)
        result[name] = (
            TypedData(json=json.dumps(value)) if isinstance(value, dict) else TypedData(string=_scalar(value))
        )
    return result


def _scalar(value: Any) -> str:
    """A JSON scalar as Newtonsoft casts it to text: times lose their form, booleans get a capital."""
    if isinstance(value, str) and _ISO_TIME.fullmatch(value):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return value
        return (moment.astimezone(UTC) if moment.tzinfo else moment).strftime("%m/%d/%Y %H:%M:%S")
    return str(value)


def _bytes(message: ServiceBusReceivedMessage) -> bytes:
    if message.body_type == AmqpMessageBodyType.DATA:
        return b"".join(message.body)
    if message.body is None:  # a message of properties only, which has no body at all
        return b""
    raise NotBindable(f"{message.body_type.value} cannot be retrieved using the Body property.")


def _decoded(message: ServiceBusReceivedMessage) -> str:
    if message.body_type == AmqpMessageBodyType.VALUE and isinstance(message.body, (str, bytes)):
        return _text(message.body)  # the SDK leaves AMQP text as bytes
    return _bytes(message).decode(errors="replace")


def _zoneless(moment: datetime) -> str:
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    return text.rstrip("0").removesuffix(".")


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    """An AMQP value as JSON: what the SDK leaves as bytes is AMQP text, unless it is not UTF-8."""
    match value:
        case float() if not isfinite(value):
            return _WORDS[str(value)]  # JSON has no such number
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return b64encode(value).decode()
        case datetime():
            return value.isoformat()
        case dict():
            return {_text(k): _plain(v) for k, v in value.items()}
        case list():
            return [_plain(item) for item in value]
        case _:
            return str(value)
