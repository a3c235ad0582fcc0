from __future__ import annotations

import copy
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from django.core.asgi import get_asgi_application
from django.test import Client
from django.utils import translation

from integracion_dynamics import signals

from .queues import Queues

TOKEN = "first-token-of-the-tests"
OLD_TOKEN = "token-that-is-being-replaced"


@pytest.fixture(autouse=True)
def configuration(settings: Any) -> dict[str, Any]:
    """The demo's setting with tokens; a test that changes it assigns it again through `settings`."""
    changed: dict[str, Any] = copy.deepcopy(settings.INTEGRACION_DYNAMICS)
    changed["TOKENS"] = [TOKEN, OLD_TOKEN]
    settings.INTEGRACION_DYNAMICS = changed
    return changed


@pytest.fixture
def host(configuration: dict[str, Any], settings: Any) -> Callable[..., None]:
    """Change the entities, as at the start of a process."""

    def change(**entities: Any) -> None:
        settings.INTEGRACION_DYNAMICS = {**configuration, "ENTITIES": {**configuration["ENTITIES"], **entities}}
        signals.connect()

    return change


@pytest.fixture
def in_english() -> Iterator[None]:
    """The host's language, which is Spanish in the demo."""
    with translation.override("en"):
        yield


@pytest.fixture
def queues(monkeypatch: pytest.MonkeyPatch) -> Queues:
    """A broker in place of Service Bus, for the task and the command."""
    found = Queues()
    for module in ("integracion_dynamics.tasks", "integracion_dynamics.management.commands.relay_outbox"):
        monkeypatch.setattr(f"{module}.AzureServiceBus", lambda _: found)
    return found


@pytest.fixture
def api(db: None) -> Client:
    return Client(headers={"Authorization": f"Bearer {TOKEN}"})


@pytest.fixture(scope="session")
def server_port() -> Iterator[int]:
    """The demo on a real port, which uses whatever database the test that asks has."""
    listener = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(
        uvicorn.Config(
            get_asgi_application(), log_level="error", lifespan="off", ws="none", timeout_graceful_shutdown=1
        )
    )
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield listener.getsockname()[1]
    running.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def server(transactional_db: None, server_port: int) -> Iterator[httpx.Client]:
    """A client of the demo, with the integration's token."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{server_port}", headers=headers) as client:
        yield client
