"""An organization as it is before anything was set up, and the product's administrator side of it."""

import logging
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import httpx
import pytest

from local.emulators.dataverse import Dataverse, InProcessTransport, SystemUser, WebhookSender, create_app
from local.emulators.dataverse.tables import customer_asset, sales_order
from local.emulators.identity import mint_token
from shared.adapters.clock import SystemClock
from shared.adapters.dataverse.admin.metadata import DataversePlatform
from shared.adapters.dataverse.client import DataverseClient
from shared.flows.operate.provision import Change, Provisioner
from shared.flows.operate.webhook_steps import Webhook
from tests.fakes import document_mapping

KEY = "a-signing-key-of-at-least-32-characters"
ORGANIZATION = "https://org.crm.dynamics.com"
APPLICATION = "3f0c7a52-1d5f-4b52-9d3e-0c8f7b6a5d41"
ADMINISTRATOR = "7a1d4e90-8c52-4d1b-b6a4-2f5e9c3b8d70"
URL = "https://functions.example/api/dynamics/webhook"
HEADER = "x-webhook-key"
SECRET = "the-secret-of-the-webhook"


@dataclass
class Recorder(httpx.AsyncBaseTransport):
    """Passes requests on, keeps the writes, and loses the connection before the write number `fail_at`."""

    inner: httpx.AsyncBaseTransport
    writes: list[tuple[str, str, Any]] = field(default_factory=list)
    fail_at: int | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "GET":
            if len(self.writes) == self.fail_at:
                raise httpx.ConnectError("gone", request=request)
            body = (await request.aread()).decode()
            path = request.url.path.removeprefix("/api/data/v9.2/")
            self.writes.append((request.method, path, body))
        return await self.inner.handle_async_request(request)


@dataclass
class Organization:
    """The emulated organization, what it posted, and the way in."""

    dataverse: Dataverse
    recorder: Recorder
    platform: DataversePlatform
    client: httpx.AsyncClient
    sender: WebhookSender
    posted: list[httpx.Request]

    def provisioner(self, url: str | None = URL, secret: str = SECRET) -> Provisioner:
        return Provisioner(self.platform, document_mapping(), SystemClock(), Webhook(url, HEADER, secret))

    async def provision(self, **options: Any) -> list[Change]:
        plan = await self.provisioner(**options).plan()
        await carry_out(plan)
        return plan


async def carry_out(plan: list[Change]) -> None:
    for change in plan:
        if change.run is not None:
            await change.run(lambda _text: None)


def verbs(plan: list[Change]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for change in plan:
        found.setdefault(change.verb, []).append(change.what)
    return found


def bearer(clock: Callable[[], Any], client_id: str = ADMINISTRATOR) -> str:
    return mint_token(KEY, resource=ORGANIZATION, client_id=client_id, now=clock())


class Bearer(httpx.Auth):
    """A fixed identity."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Any:
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


@pytest.fixture(autouse=True)
def loggers_as_they_were() -> Iterator[None]:
    """A command quiets the SDKs' logs, for the rest of its own process."""
    before = {name: logging.getLogger(name).level for name in ("azure", "asyncio")}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
async def organization() -> AsyncIterator[Organization]:
    tables = (customer_asset(), sales_order())
    for table in tables:
        table.keys.clear()
        del table.columns["cmms_operation"]
        table.change_tracking = False
    source = random.Random(7)  # noqa: S311  # repeatable, not secret
    dataverse = Dataverse(
        tables=tables,
        users=[SystemUser.of("Integration", APPLICATION), SystemUser.of("Administrator", ADMINISTRATOR)],
        ids=partial(lambda rng: UUID(int=rng.getrandbits(128), version=4), source),
        key_index_seconds=0.01,
    )
    posted: list[httpx.Request] = []

    def receive(request: httpx.Request) -> httpx.Response:
        posted.append(request)
        return httpx.Response(202)

    sender = WebhookSender(dataverse, transport=httpx.MockTransport(receive))
    app = create_app(dataverse, signing_key=KEY, audiences=[ORGANIZATION], webhooks=sender)
    recorder = Recorder(InProcessTransport(app))
    token = bearer(dataverse.clock)
    root = f"{ORGANIZATION}/api/data/v9.2"
    admin = DataverseClient(root, Bearer(token), SystemClock(), recorder)
    async with httpx.AsyncClient(
        transport=InProcessTransport(app), base_url=f"{root}/", headers={"Authorization": f"Bearer {token}"}
    ) as client:
        yield Organization(dataverse, recorder, DataversePlatform(admin), client, sender, posted)
    await sender.aclose()
    await admin.aclose()
