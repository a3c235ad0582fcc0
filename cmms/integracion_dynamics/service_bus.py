from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from azure.core.exceptions import AzureError
from azure.identity import CertificateCredential, DefaultAzureCredential
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusMessageBatch, ServiceBusSender
from azure.servicebus.exceptions import MessageSizeExceededError

from .entities import ServiceBus
from .sender import Accepted, Outgoing, Refused, UnavailableError

CONTENT_TYPE = "application/cloudevents+json"


class AzureServiceBus:
    """A `Sender` over the azure-servicebus SDK; connects on first use and again after a failure."""

    def __init__(self, where: ServiceBus) -> None:
        self._where = where
        self._client: ServiceBusClient | None = None
        self._credential: CertificateCredential | DefaultAzureCredential | None = None
        self._senders: dict[str, ServiceBusSender] = {}

    def send(self, queue: str, messages: Sequence[Outgoing]) -> Iterator[Accepted | Refused]:
        """See `Sender.send`."""
        try:
            yield from _transfer(self._sender(queue), messages)
        except (AzureError, OSError, ValueError) as error:
            # The SDK reports a malformed connection string or an unreadable certificate as ValueError.
            self._drop(queue)
            raise UnavailableError(_reason(queue, error)) from error

    def close(self) -> None:
        """See `Sender.close`."""
        for queue in list(self._senders):
            self._drop(queue)
        if self._client is not None:
            with contextlib.suppress(AzureError, OSError):
                self._client.close()
            self._client = None
        if self._credential is not None:
            self._credential.close()
            self._credential = None

    def _sender(self, queue: str) -> ServiceBusSender:
        if queue not in self._senders:
            if self._client is None:
                self._client = self._connect()
            self._senders[queue] = self._client.get_queue_sender(queue)
        return self._senders[queue]

    def _connect(self) -> ServiceBusClient:
        # The relay itself tries again without end, so the SDK's own attempts are kept short.
        options: dict[str, Any] = {"retry_total": 1, "retry_backoff_factor": 0.5, "retry_backoff_max": 2.0}
        if self._where.connection_string:
            return ServiceBusClient.from_connection_string(self._where.connection_string, **options)
        if not self._where.namespace:
            raise ValueError("neither CONNECTION_STRING nor NAMESPACE is set")
        self._credential = self._credential or _credential(self._where)
        return ServiceBusClient(self._where.namespace, self._credential, **options)

    def _drop(self, queue: str) -> None:
        sender = self._senders.pop(queue, None)
        if sender is not None:
            with contextlib.suppress(AzureError, OSError):
                sender.close()


def _credential(where: ServiceBus) -> CertificateCredential | DefaultAzureCredential:
    if where.certificate_path:
        return CertificateCredential(where.tenant_id, where.client_id, where.certificate_path)
    return DefaultAzureCredential(managed_identity_client_id=where.client_id or None)


def _transfer(sender: ServiceBusSender, messages: Sequence[Outgoing]) -> Iterator[Accepted | Refused]:
    batch = sender.create_message_batch()
    inside: list[int] = []
    for message in messages:
        wire = ServiceBusMessage(
            message.body,
            message_id=message.event_id,
            content_type=CONTENT_TYPE,
            application_properties={"traceparent": message.traceparent} if message.traceparent else None,
        )
        fits = _fits(batch, wire)
        if inside and not fits:
            sender.send_messages(batch)
            yield Accepted(tuple(inside))
            batch, inside = sender.create_message_batch(), []
            fits = _fits(batch, wire)
        if fits:
            inside.append(message.sequence)
        else:
            limit = batch.max_size_in_bytes
            yield Refused(message.sequence, f"its {len(message.body)} bytes exceed the queue's limit of {limit}")
    if inside:
        sender.send_messages(batch)
        yield Accepted(tuple(inside))


def _fits(batch: ServiceBusMessageBatch, message: ServiceBusMessage) -> bool:
    try:
        batch.add_message(message)
    except MessageSizeExceededError:
        return False
    return True


def _reason(queue: str, error: Exception) -> str:
    """The kind of failure and its first line, unless a parser of secrets may have written it."""
    if isinstance(error, ValueError) and not isinstance(error, AzureError):
        detail = "check INTEGRACION_DYNAMICS['SERVICE_BUS']"
    else:
        detail = str(error).partition("\n")[0][:300]
    return f"queue {queue!r}: {type(error).__name__}: {detail}"
