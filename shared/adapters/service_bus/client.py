"""What everything that speaks to Service Bus needs: a client, a message's body, and its failures in our terms."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from shared.errors import NotAuthorized, Unavailable
from shared.settings import BusSettings

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusClient

_REFUSED: Final = frozenset({None, HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})

# Imported where it is used: the SDK is a tenth of a second of start-up that a timer or health call does not need.
# ruff: noqa: PLC0415


def make_client(settings: BusSettings, credential: AsyncTokenCredential | None) -> ServiceBusClient:
    """A client by the local stack's connection string where it is set, else for the namespace under the credential.

    Raises:
        Unavailable: There is neither.
    """
    from azure.servicebus.aio import ServiceBusClient

    connection = settings.service_bus_connection.get_secret_value()
    if connection:
        return ServiceBusClient.from_connection_string(connection, retry_total=1)
    if credential is None:
        raise Unavailable("Neither a connection string nor a credential for Service Bus is set.", sent=False)
    return ServiceBusClient(settings.service_bus_namespace, credential, retry_total=1)


@contextmanager
def mapped(queue: str) -> Iterator[None]:
    """Raise every failure of the SDK as one of ours.

    Raises:
        NotAuthorized: Our identity lacks a role on the queue.
        Unavailable: The queue does not exist or does not answer.
    """
    from azure.core.exceptions import AzureError, ClientAuthenticationError
    from azure.servicebus.exceptions import (
        MessagingEntityNotFoundError,
        ServiceBusAuthenticationError,
        ServiceBusAuthorizationError,
    )

    try:
        yield
    except (AzureError, OSError, ValueError) as error:
        if isinstance(error, MessagingEntityNotFoundError) or _token_status(error) == HTTPStatus.NOT_FOUND:
            raise Unavailable(f"There is no queue {queue}: create it in the namespace.") from error
        refusals = (ServiceBusAuthenticationError, ServiceBusAuthorizationError, ClientAuthenticationError)
        if isinstance(error, refusals) and _token_status(error) in _REFUSED:
            raise NotAuthorized(
                f"Service Bus refused our identity for the queue {queue}: it needs the role Azure Service Bus Data"
                " Sender there to send, Data Receiver to receive. Without a role Azure does not tell whether there is"
                " such a queue."
            ) from error
        text = " ".join(str(error).split())[:200]
        raise Unavailable(f"The queue {queue} cannot be used: {type(error).__name__}: {text}") from error


def _token_status(error: Exception) -> int | None:
    """The status with which Service Bus answered the token for a queue; None where no answer was the reason.

    The SDK raises each such answer as a failed authentication, also the 404 for a queue that does not exist, and the
    500 or 503 of a service that is busy.
    """
    return getattr(getattr(error, "inner_exception", None), "status_code", None)


def body_of(message: ServiceBusReceivedMessage) -> bytes:
    """A message's body. A foreign sender's may be no bytes but an AMQP value or sequence: that is written as JSON."""
    body = message.body
    if isinstance(body, (bytes, str)):
        return _bytes(body)
    if body is None:  # a message of properties only
        return b""
    if has_bytes(message):
        return b"".join(body)
    return json.dumps(_plain(body), default=str).encode()


def has_bytes(message: ServiceBusReceivedMessage) -> bool:
    """Whether a message has the usual body of bytes, or none at all."""
    from azure.servicebus.amqp import AmqpMessageBodyType

    return message.body_type is AmqpMessageBodyType.DATA or message.body is None


def _bytes(text: bytes | str) -> bytes:
    return text.encode("utf-8", "replace") if isinstance(text, str) else text


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return {str(_plain(name)): _plain(member) for name, member in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(member) for member in value]
    return value
