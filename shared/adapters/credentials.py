"""Signing in: one credential for the life of the worker, and the bearer token on each Dataverse request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final, override

import httpx

from shared.errors import NotAuthorized, Unavailable
from shared.settings import Settings

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken
    from azure.core.credentials_async import AsyncTokenCredential

# A token is renewed this long before it expires, so that no request leaves with one that dies on the way.
_RENEW_BEFORE: Final = 120.0


def make_credential(settings: Settings) -> AsyncTokenCredential:
    """The credential that the settings ask for.

    The document's client secret where its three settings are set; the managed identity inside Azure; the
    developer's own sign-in (azure-identity's default chain) elsewhere.
    """
    # Imported here: azure-identity is a third of the import time, and not every invocation signs in.
    import os  # noqa: PLC0415

    from azure.identity.aio import (  # noqa: PLC0415
        ClientSecretCredential,
        DefaultAzureCredential,
        ManagedIdentityCredential,
    )

    secret = settings.dynamics_365_client_secret.get_secret_value()
    if secret:
        return ClientSecretCredential(settings.dynamics_365_tenant_id, settings.dynamics_365_client_id, secret)
    client_id = settings.azure_client_id or None
    if "IDENTITY_ENDPOINT" in os.environ:
        return ManagedIdentityCredential(client_id=client_id)
    return DefaultAzureCredential(managed_identity_client_id=client_id)


class BearerToken(httpx.Auth):
    """Adds the token, and after a 401 asks for a new one once."""

    def __init__(self, credential: AsyncTokenCredential, resource: str) -> None:
        """`resource` is the organization's address; the scope is its `.default`."""
        self._credential = credential
        self._scope = f"{resource}/.default"
        self._token: AccessToken | None = None
        self._lock = asyncio.Lock()

    @override
    def __repr__(self) -> str:
        return f"BearerToken({self._scope})"

    @override
    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        token = await self._get()
        request.headers["Authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            request.headers["Authorization"] = f"Bearer {await self._get(refused=token)}"
            yield request

    async def _get(self, refused: str | None = None) -> str:
        async with self._lock:
            token = self._token
            if token is None or token.token == refused or token.expires_on - _RENEW_BEFORE < time.time():
                token = self._token = await self._fetch()
            return token.token

    async def _fetch(self) -> AccessToken:
        from azure.core.exceptions import AzureError, ClientAuthenticationError  # noqa: PLC0415

        try:
            return await self._credential.get_token(self._scope)
        except ClientAuthenticationError as error:
            # azure-identity's texts name tenants and endpoints, never the secret; the first line is enough.
            text = str(error).splitlines()[0][:300]
            raise NotAuthorized(
                f"Signing in for {self._scope} failed: {text} Check the managed identity (AZURE_CLIENT_ID) or the"
                " three DYNAMICS_365_ client-secret settings."
            ) from error
        except AzureError as error:
            raise Unavailable(f"The identity service gave no token: {type(error).__name__}.") from error
