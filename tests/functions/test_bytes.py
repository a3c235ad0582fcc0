"""Bodies of any bytes on the real path (broker, host, worker, triggers): each is parked as it was sent, alone."""

import gzip
import io
import itertools
import random
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from types import EllipsisType
from uuid import uuid4

import httpx
import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceiveMode

from local.emulators.functions_host.tests.running import until
from local.ports import Ports
from local.stack import Stack
from shared.adapters.service_bus.receiver import ServiceBusQueues
from shared.adapters.service_bus.sender import ServiceBus
from shared.flows.operate.parked import Filter, ParkedMessages
from tests.fakes import FakeClock, captured, captured_as, document_mapping, make_settings


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("evento.json", captured("cmms_asset_upserted"))
    return file.getvalue()


EVENT = captured("cmms_asset_upserted").decode().replace("Bomba", "Válvula")
BAD: dict[str, bytes | None] = {
    "empty": b"",
    "properties only": None,
    "Latin-1": EVENT.encode("latin-1"),
    "Windows-1252": EVENT.replace("Válvula", "10 €").encode("cp1252"),
    "UTF-16": EVENT.encode("utf-16"),
    "UTF-16 without a mark": EVENT.encode("utf-16-le"),
    "UTF-32": EVENT.encode("utf-32"),
    "gzip": gzip.compress(EVENT.encode(), mtime=0),
    "zip": zipped(),
    "cut in a letter": EVENT.encode()[: EVENT.encode().index("á".encode()) + 1],
    "half a pair": EVENT.encode().replace("á".encode(), b"\xed\xa0\x80"),
    "zeros": b"\0" * 64,
    "every byte": bytes(range(256)),
    "blank": b" \r\n",
}
SIZES = (1, 2, 6, 40)
QUEUES = ("assets", "orders")


class Product:
    """The running product in one-way mode, and a connection to its queues."""

    def __init__(self, stack: Stack, connections: ExitStack) -> None:
        self.stack = stack
        client = ServiceBusClient.from_connection_string(stack.servicebus_connection)
        self._client = connections.enter_context(client)
        self._senders = {name: connections.enter_context(self._client.get_queue_sender(name)) for name in QUEUES}
        mode = ServiceBusReceiveMode.RECEIVE_AND_DELETE
        self._parked = connections.enter_context(self._client.get_queue_receiver("parked", receive_mode=mode))
        self._http = connections.enter_context(httpx.Client(trust_env=False, timeout=30))
        self._keys = itertools.count()

    def counts(self, queue: str) -> dict[str, int]:
        found = self._http.get(f"http://127.0.0.1:{self.stack.ports.servicebus_admin}/counts").json()
        return dict(found[queue])

    def send(self, queue: str, bodies: Sequence[bytes | None]) -> None:
        """All in one transfer, so that one batch can have them all."""
        self._senders[queue].send_messages(
            [ServiceBusMessage(body, message_id=str(uuid4()), application_properties={"n": "1"}) for body in bodies]
        )

    def good(self, queue: str) -> tuple[str, bytes]:
        """A new record: its key and the message that makes it."""
        key = f"G-{next(self._keys)}"
        fields = {"nombre": "Bomba"} if queue == "assets" else {"justificacion": "Repuesto", "estado": "AUTORIZADO"}
        data = {"key": key, "version": datetime.now(UTC).isoformat(), "fields": fields}
        return key, captured_as("cmms_asset_upserted", id=key, type=f"energy.{queue[:-1]}.upserted", data=data)

    def settle(self, queue: str) -> list[bytes]:
        """Wait until the queue is done; answers what came to `parked`."""
        until(lambda: not any(self.counts(queue).values()), f"{queue} is empty")
        # A message is parked before its queue lets go of it: by now all are there. What a receive has taken off the
        # queue it may give at the next call.
        waiting, taken = self.counts("parked")["active"], list[bytes]()
        while len(taken) < waiting:
            received = self._parked.receive_messages(waiting - len(taken), max_wait_time=5)
            assert received, f"{waiting - len(taken)} parked messages were counted, and do not come"
            for one in received:
                properties = one.application_properties or {}
                assert (properties[b"reason"], properties[b"source_queue"]) == (b"invalid_message", queue.encode())
                taken.append(b"".join(one.body))
        return taken

    def keys(self, queue: str) -> set[str]:
        """The keys of the rows in Dynamics."""
        entity = document_mapping().entities[queue[:-1]]
        answer = self._http.get(
            f"{self.stack.web_api_url}/{entity.set}",
            params={"$select": entity.key.column},
            headers={"Authorization": f"Bearer {self.stack.person_token()}"},
        )
        return {row[entity.key.column] for row in answer.raise_for_status().json()["value"]}

    def check(self, queue: str, places: Sequence[bytes | EllipsisType | None]) -> None:
        """Send a batch in which an ellipsis stands for a good message; each must end where it belongs."""
        good: set[str] = set()
        bodies: list[bytes | None] = []
        for place in places:
            if place is ...:
                key, body = self.good(queue)
                good.add(key)
                bodies.append(body)
            else:
                bodies.append(place)
        self.send(queue, bodies)
        assert self.settle(queue) == [place or b"" for place in places if place is not ...]
        assert good <= self.keys(queue)


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    with Stack(Ports.free(), one_way=True) as stack, ExitStack() as connections:
        yield Product(stack, connections)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_body_is_parked_byte_for_byte_and_its_neighbours_are_applied(product: Product, bad: bytes | None) -> None:
    for queue, before in zip(QUEUES, (len(bad or b"") % 6, 0), strict=True):
        product.check(queue, [*[...] * before, bad, *[...] * (5 - before)])


@pytest.mark.parametrize("queue", QUEUES)
@pytest.mark.parametrize("size", SIZES)
def test_bad_bodies_at_any_places_of_a_batch_of_any_size_are_parked_in_their_order(
    product: Product, queue: str, size: int
) -> None:
    source = random.Random(size)  # noqa: S311  # repeatable, not secret
    bad = itertools.cycle(BAD.values())
    for share in (0.4, 1):
        product.check(queue, [next(bad) if source.random() < share else ... for _ in range(size)])


async def test_a_replay_sends_the_bytes_that_were_parked(product: Product) -> None:
    wanted = [body or b"" for body in BAD.values()]
    product.send("orders", list(BAD.values()))
    settings = make_settings(service_bus_connection=product.stack.servicebus_connection)
    bus = ServiceBus(settings, None)
    parked = ParkedMessages(ServiceBusQueues(settings, None), bus, FakeClock().now)
    until(lambda: product.counts("parked")["active"] == len(wanted), "all are parked")
    first = await parked.find(Filter())
    assert [one.body for one in first] == wanted
    settled = await parked.replay(first, lambda _message, _problem: None)
    await bus.aclose()
    assert (len(settled.done), settled.refused) == (len(wanted), [])
    # As they were sent again one by one, so they come: in any number of batches.
    until(lambda: product.counts("parked")["active"] == len(wanted), "all are parked again")
    assert sorted(product.settle("orders")) == sorted(wanted)


def test_no_invocation_failed(product: Product) -> None:
    assert "(Failed" not in (product.stack.folder / "functions.log").read_text(encoding="utf-8")
