"""Blob Storage on this machine: Azurite behind TLS, which takes tokens as Azure does, though of any signature."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from azure.core.credentials import AccessToken
from azure.storage.blob.aio import ContainerClient

from local.emulators.certificate import make_certificate
from local.emulators.identity import mint_token
from tests.azurite import azurite

KEY = "a-signing-key-of-at-least-32-characters"
STORAGE = "https://storage.azure.com"


class Identity:
    """A managed identity's credential; `resource` is what its tokens are good for."""

    def __init__(self, resource: str = STORAGE) -> None:
        self.resource = resource
        self.scopes: list[str] = []

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        token = mint_token(KEY, resource=self.resource, client_id="app-1")
        return AccessToken(token, int(time.time()) + 3600)

    async def close(self) -> None:
        """There is nothing to close."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self.close()


@dataclass(frozen=True)
class Blobs:
    """A running blob service and the certificate that it is known by."""

    url: str
    certificate: Path

    @property
    def trust(self) -> dict[str, Any]:
        """The SDK's options for it."""
        return {"connection_verify": str(self.certificate)}

    @asynccontextmanager
    async def container(self) -> AsyncIterator[ContainerClient]:
        """A new container, as whoever deploys makes it."""
        url = f"{self.url}/reports-{uuid4().hex[:12]}"
        async with ContainerClient.from_container_url(url, Identity(), **self.trust) as client:
            await client.create_container()
            yield client


@contextmanager
def blobs(folder: Path) -> Iterator[Blobs]:
    """Run the service with a certificate of its own."""
    certificate = folder / "certificate.pem"
    make_certificate(certificate)
    options = ("--cert", str(certificate), "--key", str(certificate), "--oauth", "basic", "--skipApiVersionCheck")
    with azurite("blob", "Where reports are kept", *options) as url:
        yield Blobs(url, certificate)
