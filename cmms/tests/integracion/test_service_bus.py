from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.exceptions import MessageSizeExceededError

from integracion_dynamics import service_bus
from integracion_dynamics.entities import ServiceBus
from integracion_dynamics.sender import Accepted, Outgoing, Refused, UnavailableError
from integracion_dynamics.service_bus import AzureServiceBus

MESSAGE = Outgoing(1, "id", b"{}", b"{}")


def send(where: ServiceBus) -> str:
    """The text of the refusal."""
    bus = AzureServiceBus(where)
    try:
        with pytest.raises(UnavailableError) as refusal:
            list(bus.send("assets", [MESSAGE], lambda: True))
    finally:
        bus.close()
    return str(refusal.value)


def test_an_unreachable_broker_is_unavailable_and_named_by_its_queue() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    where = f"Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=n;SharedAccessKey=hush;UseDevelopmentEmulator=true;"
    reason = send(ServiceBus(connection_string=where))
    assert reason.startswith("queue 'assets': ")
    assert "hush" not in reason


@pytest.mark.parametrize("text", ["Endpoint=sb://x;SharedAccessKey=hush", "Endpoint=sb://;hush"])
def test_a_malformed_connection_string_is_unavailable_without_its_secret(text: str) -> None:
    reason = send(ServiceBus(connection_string=text))
    assert "SERVICE_BUS" in reason
    assert "hush" not in reason


def test_no_address_at_all_says_which_setting_to_fill() -> None:
    assert "INTEGRACION_DYNAMICS['SERVICE_BUS']" in send(ServiceBus())


def test_a_certificate_that_cannot_be_read_is_unavailable(tmp_path: Path) -> None:
    broken = tmp_path / "certificate.pem"
    broken.write_text("not a certificate")
    for path in (str(broken), str(tmp_path / "absent.pem")):
        where = ServiceBus(namespace="x.servicebus.windows.net", tenant_id="t", client_id="c", certificate_path=path)
        assert "queue 'assets'" in send(where)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the SDK forgets the socket
def test_a_broker_that_takes_connections_and_says_nothing_is_unavailable_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        where = f"Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=n;SharedAccessKey=k;UseDevelopmentEmulator=true;"
        bus = AzureServiceBus(ServiceBus(connection_string=where), limit=0.3)
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="no answer within"):
            list(bus.send("assets", [MESSAGE], lambda: True))
        bus.close()
        assert time.monotonic() - began < 5
    # What was given up ends with the broker's connection, and closes its own.
    for thread in threading.enumerate():
        if thread.name == service_bus.__name__:
            thread.join(20)
            assert not thread.is_alive()
    gc.collect()


class FakeSender:
    """What the SDK's sender does with batches of at most `limit` bytes; `hangs` makes transfers take for ever."""

    def __init__(self, limit: int = 100, *, hangs: bool = False) -> None:
        self.limit, self.hangs = limit, hangs
        self.transfers: list[list[str]] = []

    def create_message_batch(self) -> FakeBatch:
        return FakeBatch(self.limit)

    def send_messages(self, batch: FakeBatch) -> None:
        if self.hangs:
            time.sleep(1)
        self.transfers.append([b"".join(message.body).decode() for message in batch.inside])

    def close(self) -> None:
        pass


class FakeBatch:
    def __init__(self, limit: int) -> None:
        self.max_size_in_bytes = limit
        self.inside: list[ServiceBusMessage] = []

    def add_message(self, message: ServiceBusMessage) -> None:
        if sum(len(b"".join(one.body)) for one in [*self.inside, message]) > self.max_size_in_bytes:
            raise MessageSizeExceededError(message="too large")
        self.inside.append(message)


def transfer(
    messages: list[Outgoing], sender: FakeSender, monkeypatch: pytest.MonkeyPatch, proceed: Callable[[], bool]
) -> list[Accepted | Refused]:
    bus = AzureServiceBus(ServiceBus(), limit=0.2)
    monkeypatch.setattr(bus._connection, "sender", lambda _queue: sender)
    return list(bus.send("assets", messages, proceed))


def test_what_is_too_large_goes_as_a_hint_in_its_place_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = ["a" * 60, "b" * 60, "c" * 300, "d", "e" * 300]
    messages = [Outgoing(n, str(n), body.encode(), body[:9].encode()) for n, body in enumerate(bodies)]
    messages[4] = Outgoing(4, "4", b"e" * 300, b"E" * 200)
    sender = FakeSender()
    assert transfer(messages, sender, monkeypatch, lambda: True) == [
        Accepted((0,)),
        Accepted((1,)),
        Accepted((2, 3), (2,)),
        Refused(4, "its 200 bytes exceed the queue's limit of 100"),
    ]
    assert sender.transfers == [["a" * 60], ["b" * 60], ["c" * 9, "d"]]


def test_before_each_transfer_the_relay_is_asked_whether_it_still_may(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [Outgoing(n, str(n), b"x" * 60, b"x") for n in range(3)]
    answers = iter([True, False])
    sender = FakeSender()
    assert transfer(messages, sender, monkeypatch, lambda: next(answers)) == [Accepted((0,))]
    assert len(sender.transfers) == 1


def test_a_transfer_that_is_never_answered_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnavailableError, match="no answer within"):
        transfer([MESSAGE], FakeSender(hangs=True), monkeypatch, lambda: True)
