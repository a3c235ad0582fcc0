"""A misconfigured app on the real worker runtime, over real AMQP: what becomes of messages until it is corrected."""

from pathlib import Path

from azure.servicebus import ServiceBusMessage

from local.emulators.functions_host.tests.brokered import running_broker
from local.emulators.functions_host.tests.running import ROOT, running, until
from local.emulators.servicebus import QueueSettings
from shared.domain.messages import queues
from tests.fakes import captured


def test_messages_of_a_misconfigured_app_are_neither_dead_lettered_nor_parked(tmp_path: Path) -> None:
    settings = [
        QueueSettings(queue.name, queue.lock_duration, queue.max_delivery_count, queue.duplicate_window)
        for queue in queues.ALL
    ]
    with running_broker(settings) as broker:
        environment = {
            "DYNAMICS_365_RESOURCE_URL": "http://127.0.0.1:9",
            "DYNAMICS_365_WEBHOOK_SECRET": "@Microsoft.KeyVault(SecretUri=https://contoso.vault.azure.net/secrets/s)",
            "ServiceBusConnection": broker.connection_string,
            "SYNC_LEDGER": f"sqlite:///{tmp_path}/ledger.sqlite3",
            "RECONCILE_SCHEDULE": "0 0 0 1 1 *",
        }
        with running(ROOT, tmp_path, environment, ["--grace", "1"]) as host:
            body = captured("cmms_asset_upserted")
            broker.send("assets", [ServiceBusMessage(body, message_id=str(number)) for number in range(3)])
            until(
                lambda: broker.broker.counts("assets").scheduled == 3 and not broker.waiting("assets"),
                "all of them are put back for later",
                30,
            )
            assert (broker.dead("assets"), broker.waiting("parked")) == (0, 0)
            assert "DYNAMICS_365_WEBHOOK_SECRET is a Key Vault reference that Azure did not resolve" in host.log
            assert "Executed 'Functions.assets' (Failed" not in host.log
            assert host.client.get("/api/health").status_code == 503
