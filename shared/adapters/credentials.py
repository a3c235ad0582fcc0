"""Signing in: credentials for the life of the worker, and the bearer token on each Dataverse request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Final, override

import httpx

from shared.errors import ConfigurationError, NotAuthorized, Unavailable
from shared.settings import BusSettings, Settings

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken
    from azure.core.credentials_async import AsyncTokenCredential

# A token is renewed this long before it expires, so that no request leaves with one that dies on the way.
_RENEW_BEFORE: Final = 120.0
# A request for claims makes azure-identity leave its cache alone; this one asks for nothing in particular.
_NO_CACHE: Final = '{"access_token":{}}'


def make_credential(settings: Settings) -> AsyncTokenCredential:
    """The credential for Dynamics: the document's client secret where its three settings are set, else the platform's.

    Raises:
        ConfigurationError: The settings cannot be those of an application.
    """
    # Imported here: azure-identity is a third of the import time, and not every invocation signs in.
    from azure.identity.aio import ClientSecretCredential  # noqa: PLC0415

    secret = settings.dynamics_365_client_secret.get_secret_value()
    if not secret:
        return platform_credential(settings)
    try:
        return ClientSecretCredential(settings.dynamics_365_tenant_id, settings.dynamics_365_client_id, secret)
    except ValueError as error:
        raise ConfigurationError(
            f"DYNAMICS_365_TENANT_ID and DYNAMICS_365_CLIENT_ID cannot be used: {str(error).partition('.')[0]}."
        ) from None


def platform_credential(settings: BusSettings) -> AsyncTokenCredential:
    """The worker's own identity: the managed one inside Azure, the developer's own sign-in elsewhere.

    Azure's own services take only this one: the client secret belongs to Dynamics.
    """
    import os  # noqa: PLC0415

    from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential  # noqa: PLC0415

    client_id = settings.azure_client_id or None
    if "IDENTITY_ENDPOINT" in os.environ:
        return ManagedIdentityCredential(client_id=client_id)
    return DefaultAzureCredential(managed_identity_client_id=client_id)


class BearerToken(httpx.Auth):
    """Adds the token, and after a 401 asks for a new one once."""

    def __init__(self, credential: AsyncTokenCredential, resource: str, now: Callable[[], float] = time.time) -> None:
        """`resource` is the organization's address; the scope is its `.default`. `now` gives seconds of the epoch."""
        self._credential = credential
        self._scope = f"{resource}/.default"
        self._now = now
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
        # Whoever comes second finds the first one's new token.
        async with self._lock:
            token = self._token
            if token is None or token.token == refused or token.expires_on - _RENEW_BEFORE < self._now():
                token = self._token = await self._fetch(fresh=refused is not None)
            return token.token

    async def _fetch(self, *, fresh: bool) -> AccessToken:
        from azure.core.exceptions import AzureError, ClientAuthenticationError  # noqa: PLC0415

        try:
            return await self._credential.get_token(self._scope, claims=_NO_CACHE if fresh else None)
        except ClientAuthenticationError as error:
            # azure-identity's texts name tenants and endpoints, never the secret; the first line is enough.
            text = str(error).partition("\n")[0].strip()[:300]
            raise NotAuthorized(
                f"Signing in for {self._scope} failed: {text} Check the managed identity (AZURE_CLIENT_ID) or the"
                " three DYNAMICS_365_ client-secret settings."
            ) from error
        except AzureError as error:
            raise Unavailable(f"The identity service gave no token: {type(error).__name__}.", sent=False) from error
