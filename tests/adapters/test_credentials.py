"""The real azure-identity, by the settings, against the emulated identity services."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from azure.core.credentials_async import AsyncTokenCredential
from azure.identity.aio import ClientSecretCredential, DefaultAzureCredential, ManagedIdentityCredential

from local.emulators.dataverse import Dataverse, SystemUser
from local.emulators.dataverse import create_app as create_dataverse
from local.emulators.identity import create_app as create_identity
from local.emulators.identity.config import Application, IdentityConfig, ManagedIdentity
from local.emulators.identity.tests.serving import serving
from shared.adapters.clock import SystemClock
from shared.adapters.credentials import BearerToken, make_credential, platform_credential
from shared.adapters.dataverse import DataverseGateway
from shared.adapters.dataverse.client import DataverseClient
from shared.errors import ConfigurationError, NotAuthorized
from shared.settings import Settings
from tests.adapters.worlds import RESOURCE, SIGNING_KEY

pytestmark = pytest.mark.real_time

TENANT = "5f0c1f0e-9a55-4a3d-8f60-0f8a3e1f6b10"
IDENTITY_HEADER = "the-identity-header-of-this-worker"
SECRET = "the-client-secret-of-the-app"
CONFIG = IdentityConfig(
    signing_key=SIGNING_KEY,
    identity_header=IDENTITY_HEADER,
    tenant_id=TENANT,
    managed_identities=(ManagedIdentity(client_id="mi-1"), ManagedIdentity(client_id="mi-2")),
    applications=(Application(client_id="app-1", client_secret=SECRET),),
    resources=(RESOURCE,),
)


def settings(**changes: object) -> Settings:
    complete: dict[str, object] = {
        "dynamics_365_resource_url": RESOURCE,
        "dynamics_365_webhook_secret": "a-secret-of-enough-characters",
        "service_bus_namespace": "x.servicebus.windows.net",
        "sync_ledger": "sqlite:///never-opened",
    }
    return Settings.model_validate(complete | changes)


@asynccontextmanager
async def gateway(credential: AsyncTokenCredential, user: str) -> AsyncIterator[DataverseGateway]:
    """The real client on a real port, for an organization that knows this user."""
    dataverse = Dataverse(users=[SystemUser.of("Integration", user)])
    async with serving(create_dataverse(dataverse, signing_key=SIGNING_KEY, audiences=[RESOURCE])) as url, credential:
        clock = SystemClock()
        client = DataverseClient(f"{url}/api/data/v9.2", BearerToken(credential, RESOURCE), clock)
        yield DataverseGateway(client, clock)
        await client.aclose()


@pytest.fixture
async def identity(monkeypatch: pytest.MonkeyPatch, no_proxy: None) -> AsyncIterator[str]:
    async with serving(create_identity(CONFIG)) as url:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
        yield url


@pytest.mark.parametrize("client_id", ["", "mi-2"])
async def test_the_managed_identity_signs_in(identity: str, client_id: str) -> None:
    credential = make_credential(settings(azure_client_id=client_id))
    assert isinstance(credential, ManagedIdentityCredential)
    async with gateway(credential, client_id or "mi-1") as dynamics:
        assert (await dynamics.organization_id()).version == 4


async def test_a_managed_identity_that_does_not_exist_is_not_authorized(identity: str) -> None:
    async with gateway(make_credential(settings(azure_client_id="mi-9")), "mi-9") as dynamics:
        with pytest.raises(NotAuthorized, match="AZURE_CLIENT_ID") as caught:
            await dynamics.organization_id()
    assert IDENTITY_HEADER not in caught.value.message


async def test_a_refused_token_is_replaced_by_one_from_the_endpoint_not_from_the_cache(identity: str) -> None:
    credential = make_credential(settings())
    async with credential:
        first = await credential.get_token(f"{RESOURCE}/.default")
        bearer = BearerToken(credential, RESOURCE)
        assert await bearer._get() == first.token
        started = datetime.now(UTC).timestamp()
        while datetime.now(UTC).timestamp() < int(started) + 1.01:  # tokens of one second are the same
            await bearer._get()
        assert await bearer._get(refused=first.token) != first.token


async def test_the_documents_three_settings_choose_the_client_secret_for_dynamics_alone(
    identity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(dynamics_365_tenant_id=TENANT, dynamics_365_client_id="app-1", dynamics_365_client_secret=SECRET)
    secret, platform = make_credential(chosen), platform_credential(chosen)
    async with secret, platform:
        assert isinstance(secret, ClientSecretCredential)
        assert isinstance(platform, ManagedIdentityCredential)


async def test_outside_azure_the_developers_own_sign_in_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IDENTITY_ENDPOINT", raising=False)
    credential = make_credential(settings())
    async with credential:
        assert isinstance(credential, DefaultAzureCredential)


def test_a_tenant_that_is_none_is_named_without_the_secret() -> None:
    wrong = settings(
        dynamics_365_tenant_id="not a tenant!", dynamics_365_client_id="app-1", dynamics_365_client_secret=SECRET
    )
    with pytest.raises(ConfigurationError, match="DYNAMICS_365_TENANT_ID") as caught:
        make_credential(wrong)
    assert SECRET not in caught.value.message
