"""The CMMS's relay as its own process, against the broker, with the SDK at both ends."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from azure.servicebus import ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusClient

from local.emulators.servicebus import Broker, QueueSettings

CMMS = Path(__file__).resolve().parents[3] / "cmms"
PREPARE = """
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from demo.inventario.models import Activo, Requisicion
for number in range(10):
    Activo.objects.create(codigo_interno=f"{number:04}", nombre="Bomba")
for asset in Activo.objects.all():
    asset.nombre = "Bomba ñ"
    asset.save()
Requisicion.objects.create(numero_requisicion="too large", justificacion="x" * 300_000)
for number in range(20):
    Requisicion.objects.create(numero_requisicion=f"R-{number}", justificacion="x" * 30_000)
"""


class Cmms:
    """The demo's database and the commands that work on it."""

    def __init__(self, folder: Path, connection_string: str) -> None:
        self.database = folder / "cmms.sqlite3"
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(CMMS),
            "DJANGO_SETTINGS_MODULE": "demo.settings",
            "CMMS_DEMO_DB": str(self.database),
            "CMMS_TOKEN": "a-token-for-these-tests",
            "ServiceBusConnection": connection_string,
        }

    async def run(self, *arguments: str) -> str:
        """Run Python to its end and return what it printed."""
        process = await self.start(*arguments)
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.database, timeout=60)
        try:
            with connection:
                return connection.execute(statement).fetchall()
        finally:
            connection.close()


async def receive(client: ServiceBusClient, queue: str, count: int) -> list[ServiceBusReceivedMessage]:
    found: list[ServiceBusReceivedMessage] = []
    async with client.get_queue_receiver(queue) as receiver:
        while len(found) < count:
            some = await receiver.receive_messages(max_message_count=count - len(found), max_wait_time=60)
            assert some, f"only {len(found)} of {count} arrived"
            for message in some:
                await receiver.complete_message(message)
            found += some
    return found


async def test_the_outbox_arrives_in_order_and_a_repeated_send_is_swallowed(tmp_path: Path) -> None:
    queues = [QueueSettings(name, duplicate_window=timedelta(minutes=10)) for name in ("assets", "orders")]
    async with Broker(queues) as broker:
        cmms = Cmms(tmp_path, broker.connection_string)
        await cmms.run("-c", PREPARE)
        relay = await cmms.start("-m", "django", "relay_outbox", "--interval", "0.1", "--exit-with-stdin")
        async with ServiceBusClient.from_connection_string(broker.connection_string) as client:
            assets, orders = await asyncio.gather(receive(client, "assets", 20), receive(client, "orders", 21))
        _, log = await relay.communicate()  # closes its standard input
        assert relay.returncode == 0

        events = [json.loads(str(message)) for message in assets]
        assert [event["data"]["fields"]["nombre"] for event in events] == ["Bomba"] * 10 + ["Bomba ñ"] * 10
        assert [event["data"]["sequence"] for event in events] == list(range(1, 21))
        assert [message.message_id for message in assets] == [event["id"] for event in events]
        assert {message.content_type for message in assets} == {"application/cloudevents+json"}
        hint, *others = [json.loads(str(message)) for message in orders]
        assert (hint["subject"], "fields" in hint["data"]) == ("too large", False)
        assert [event["subject"] for event in others] == [f"R-{n}" for n in range(20)]
        assert cmms.sql("SELECT clave FROM integracion_dynamics_mensaje WHERE sin_valores") == [("too large",)]
        assert b"sent without its values" in log
        assert cmms.sql("SELECT * FROM integracion_dynamics_relevo") == []

        # As a crash between sending and marking leaves it.
        cmms.sql("UPDATE integracion_dynamics_mensaje SET enviado_en = NULL WHERE motivo_fallo = ''")
        printed = await cmms.run("-m", "django", "relay_outbox", "--once")
        assert printed == "41 enviados, 0 omitidos con su motivo, 0 en espera.\n"
        assert (broker.counts("assets").active, broker.counts("orders").active) == (0, 0)
