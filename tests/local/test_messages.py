"""The local stack's look at a queue: whatever a sender put there, the terminal only prints it."""

from collections.abc import Iterator

import pytest
from azure.servicebus import ServiceBusMessage
from typer.testing import CliRunner

from local.emulators.functions_host.tests.brokered import RunningBroker, running_broker
from local.emulators.servicebus import QueueSettings
from local.messages import app


@pytest.fixture
def broker() -> Iterator[RunningBroker]:
    with running_broker([QueueSettings("assets")]) as broker:
        yield broker


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"\x1b[2J[red]a", "\\x1b[2J[red]a"),
        ("Válvula".encode("latin-1"), "V\\xe1lvula"),
        (b"", ""),
        (None, ""),
        ('{"ñ":1}\n'.encode(), '{"ñ":1}\\n'),
    ],
)
def test_a_peek_shows_any_body_and_property_in_printable_text(
    broker: RunningBroker, body: bytes | None, shown: str
) -> None:
    broker.send("assets", [ServiceBusMessage(body, application_properties={"p": "\x1b[31m"})])
    done = CliRunner().invoke(app, ["--port", str(broker.broker.port), "peek", "assets"])
    assert done.exit_code == 0, done.output
    first, *properties, count = done.output.splitlines()
    assert first.partition(": ")[2] == shown
    assert properties == ["    p: \\x1b[31m"]
    assert count == "1 message"
