from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, Queue
from typing import Any, TypeVar, cast

from azure.core.exceptions import AzureError
from azure.identity import CertificateCredential, DefaultAzureCredential
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusMessageBatch, ServiceBusSender
from azure.servicebus.exceptions import MessageSizeExceededError

from .entities import ServiceBus
from .sender import Accepted, Outgoing, Refused, UnavailableError

_Result = TypeVar("_Result")
CONTENT_TYPE = "application/cloudevents+json"
STEP_LIMIT = 10.0
"""Seconds that one step, such as a transfer, may take: the SDK knows no limit where the broker is silent."""


class AzureServiceBus:
    """A `Sender` over the azure-servicebus SDK; connects on first use and again after a failure."""

    def __init__(self, where: ServiceBus, limit: float = STEP_LIMIT) -> None:
        """`limit` is how many seconds one step may take."""
        self._where = where
        self._limit = limit
        self._connection = _Connection(where)

    def send(
        self, queue: str, messages: Sequence[Outgoing], proceed: Callable[[], bool]
    ) -> Iterator[Accepted | Refused]:
        """See `Sender.send`."""
        try:
            yield from self._transfer(queue, messages, proceed)
        except (AzureError, OSError, ValueError) as error:
            # The SDK reports a malformed connection string or an unreadable certificate as ValueError.
            with contextlib.suppress(TimeoutError):
                self._within_limit(lambda connection: connection.drop(queue))
            raise UnavailableError(_reason(queue, error)) from error

    def close(self) -> None:
        """See `Sender.close`."""
        with contextlib.suppress(TimeoutError):
            self._within_limit(lambda connection: connection.close())

    def _transfer(
        self, queue: str, messages: Sequence[Outgoing], proceed: Callable[[], bool]
    ) -> Iterator[Accepted | Refused]:
        sender = self._within_limit(lambda connection: connection.sender(queue))
        waiting = list(messages)
        while waiting:
            batch = self._within_limit(lambda _: sender.create_message_batch())
            inside, shortened, refused = _fill(batch, waiting)
            waiting = waiting[len(inside) + len(refused) :]
            yield from refused
            if not inside:
                continue
            if not proceed():
                return
            self._within_limit(lambda _, batch=batch: sender.send_messages(batch))  # type: ignore[misc]
            yield Accepted(tuple(inside), tuple(shortened))

    def _within_limit(self, step: Callable[[_Connection], _Result]) -> _Result:
        """Run one step in a thread of its own.

        Raises:
            TimeoutError: the step took too long. Its thread closes the connection when it ends, and a new one is made.
        """
        connection = self._connection
        outcome: Queue[tuple[_Result | None, BaseException | None]] = Queue(1)
        given_up = threading.Event()

        def run() -> None:
            try:
                outcome.put((step(connection), None))
            except BaseException as error:  # noqa: BLE001 - carried over to the caller
                outcome.put((None, error))
            if given_up.is_set():
                connection.close()

        threading.Thread(target=run, daemon=True, name=__name__).start()
        try:
            result, error = outcome.get(timeout=self._limit)
        except Empty:
            given_up.set()
            self._connection = _Connection(self._where)
            raise TimeoutError(f"no answer within {self._limit:g} s") from None
        if error is not None:
            raise error
        return cast("_Result", result)


class _Connection:
    """A client with its senders, each made on first use."""

    def __init__(self, where: ServiceBus) -> None:
        self._where = where
        self._client: ServiceBusClient | None = None
        self._credential: CertificateCredential | DefaultAzureCredential | None = None
        self._senders: dict[str, ServiceBusSender] = {}

    def sender(self, queue: str) -> ServiceBusSender:
        if queue not in self._senders:
            if self._client is None:
                self._client = self._connect()
            self._senders[queue] = self._client.get_queue_sender(queue)
        return self._senders[queue]

    def drop(self, queue: str) -> None:
        sender = self._senders.pop(queue, None)
        if sender is not None:
            with contextlib.suppress(AzureError, OSError):
                sender.close()

    def close(self) -> None:
        for queue in list(self._senders):
            self.drop(queue)
        if self._client is not None:
            with contextlib.suppress(AzureError, OSError):
                self._client.close()
            self._client = None
        if self._credential is not None:
            self._credential.close()
            self._credential = None

    def _connect(self) -> ServiceBusClient:
        # The relay itself tries again without end, so the SDK's own attempts are kept short.
        options: dict[str, Any] = {"retry_total": 1, "retry_backoff_factor": 0.5, "retry_backoff_max": 2.0}
        if self._where.connection_string:
            return ServiceBusClient.from_connection_string(self._where.connection_string, **options)
        if not self._where.namespace:
            raise ValueError("neither CONNECTION_STRING nor NAMESPACE is set")
        self._credential = self._credential or _credential(self._where)
        return ServiceBusClient(self._where.namespace, self._credential, **options)


def _credential(where: ServiceBus) -> CertificateCredential | DefaultAzureCredential:
    if where.certificate_path:
        return CertificateCredential(where.tenant_id, where.client_id, where.certificate_path)
    return DefaultAzureCredential(managed_identity_client_id=where.client_id or None)


def _fill(batch: ServiceBusMessageBatch, messages: Sequence[Outgoing]) -> tuple[list[int], list[int], list[Refused]]:
    """Put the first messages into the batch: their sequences, which of them as hints, and what fits into none."""
    inside: list[int] = []
    shortened: list[int] = []
    refused: list[Refused] = []
    for message in messages:
        if _fits(batch, _wire(message, message.body)):
            inside.append(message.sequence)
        elif inside:
            break  # perhaps it fits into an empty batch
        elif _fits(batch, _wire(message, message.hint)):
            inside.append(message.sequence)
            shortened.append(message.sequence)
        else:
            reason = f"its {len(message.hint)} bytes exceed the queue's limit of {batch.max_size_in_bytes}"
            refused.append(Refused(message.sequence, reason))
    return inside, shortened, refused


def _wire(message: Outgoing, body: bytes) -> ServiceBusMessage:
    return ServiceBusMessage(
        body,
        message_id=message.event_id,
        content_type=CONTENT_TYPE,
        application_properties={"traceparent": message.traceparent} if message.traceparent else None,
    )


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
