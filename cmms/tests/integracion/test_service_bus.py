from __future__ import annotations

import socket
from pathlib import Path

import pytest

from integracion_dynamics.entities import ServiceBus
from integracion_dynamics.sender import Outgoing, UnavailableError
from integracion_dynamics.service_bus import AzureServiceBus

MESSAGE = Outgoing(1, "id", b"{}")


def send(where: ServiceBus) -> str:
    """The text of the refusal."""
    bus = AzureServiceBus(where)
    try:
        with pytest.raises(UnavailableError) as refusal:
            list(bus.send("assets", [MESSAGE]))
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
