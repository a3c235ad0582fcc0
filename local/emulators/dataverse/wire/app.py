"""The ASGI application: the Web API, and the control interface beside it."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.routing import Mount, Route

from local.emulators.dataverse.organization import Dataverse
from local.emulators.dataverse.webhooks import WebhookSender
from local.emulators.dataverse.wire.auth import Authenticator
from local.emulators.dataverse.wire.connections import Connections
from local.emulators.dataverse.wire.control import ControlApi
from local.emulators.dataverse.wire.endpoint import WebApi
from local.emulators.dataverse.wire.statistics import Statistics


def create_app(
    dataverse: Dataverse,
    *,
    signing_key: str,
    audiences: Iterable[str],
    webhooks: WebhookSender | None = None,
    connections: Connections | None = None,
) -> Starlette:
    """Serve `dataverse`. Tokens must be signed with `signing_key` for one of `audiences`.

    `connections` must be those of the server's protocol, where injected faults shall break real connections.
    The application's state holds `dataverse`, `webhooks` and `statistics`. Its lifespan ends the webhook
    posts; a test that drives the application in process awaits `webhooks.aclose()` itself.
    """
    sender = webhooks or WebhookSender(dataverse)
    counts = Statistics()
    authenticator = Authenticator(dataverse, signing_key=signing_key, audiences=audiences)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await sender.aclose()

    app = Starlette(
        routes=[
            Mount("/_emulator", routes=ControlApi(dataverse, sender, counts).routes()),
            Route("/api/data/{rest:path}", WebApi(dataverse, authenticator, counts, connections or Connections())),
        ],
        lifespan=lifespan,
    )
    app.state.dataverse = dataverse
    app.state.webhooks = sender
    app.state.statistics = counts
    return app
