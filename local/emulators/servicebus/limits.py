"""The service's limits on a message's properties and ids.

Limits: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas. How the service refuses:
https://github.com/Particular/NServiceBus.Transport.AzureServiceBus/issues/171 (a property too large) and
https://github.com/rebus-org/Rebus.AzureServiceBus/issues/35 (a header too large).
"""

from typing import Any

from local.emulators.servicebus.amqp.encode import encode
from local.emulators.servicebus.amqp.message import Message
from local.emulators.servicebus.errors import HeaderTooLargeError, IdTooLongError, PropertyTooLargeError

_PROPERTY_BYTES = 32_768
_HEADER_BYTES = 65_536
_ID_CHARACTERS = 128


def check_message(message: Message, ids: dict[str, object]) -> None:
    """Refuse what the service does not take; `ids` are the message's ids by name.

    Raises:
        PropertyTooLargeError: an application property has more than 32 KiB.
        HeaderTooLargeError: all properties and annotations together have more than 64 KiB.
        IdTooLongError: an id has more than 128 characters.
    """
    for name, value in ids.items():
        if isinstance(value, str) and len(value) > _ID_CHARACTERS:
            raise IdTooLongError(
                f"The {name} has {len(value)} characters, and the service takes at most {_ID_CHARACTERS}. Shorten it."
            )
    for name, value in message.application_properties.items():
        if _bytes_of(value) > _PROPERTY_BYTES:
            raise PropertyTooLargeError(
                f"The service was unable to process the request: the application property {str(name)[:100]!r} is "
                f"larger than {_PROPERTY_BYTES} bytes. Put the value into the body, or cut it."
            )
    header = len(message.encoded_properties) + sum(
        len(encode(section)) for section in (message.annotations, message.application_properties) if section
    )
    if header > _HEADER_BYTES:
        raise HeaderTooLargeError(
            f"The size quota for this stream ({_HEADER_BYTES}) has been exceeded: the message's properties take "
            f"{header} bytes. Put large values into the body."
        )


def _bytes_of(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    return len(value) if isinstance(value, bytes) else len(encode(value))
