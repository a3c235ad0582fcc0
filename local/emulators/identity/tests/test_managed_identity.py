"""The App Service endpoint, asked by the real azure-identity over a real port."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity.aio import ManagedIdentityCredential

from local.emulators.identity import IdentityConfig, create_app, mint_token
from local.emulators.identity.tests.serving import serving

KEY = "a-signing-key-of-at-least-32-characters"
HEADER = "the-identity-header"
SCOPE = "https://org.crm.dynamics.com/.default"
AUDIENCE = "https://org.crm.dynamics.com"


def config(**changes: Any) -> IdentityConfig:
    values: dict[str, Any] = {
        "signing_key": KEY,
        "identity_header": HEADER,
        "managed_identities": [{"client_id": "first"}, {"client_id": "second", "object_id": "object-2"}],
    }
    return IdentityConfig.model_validate(values | changes)


@pytest.fixture
async def endpoint(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    async with serving(create_app(config())) as url:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", HEADER)
        yield f"{url}/msi/token"


async def test_the_real_credential_gets_a_token_for_its_client_id(endpoint: str) -> None:
    async with ManagedIdentityCredential(client_id="second") as credential:
        token = await credential.get_token(SCOPE)
    claims = jwt.decode(token.token, KEY, algorithms=["HS256"], audience=AUDIENCE)
    assert (claims["appid"], claims["oid"]) == ("second", "object-2")
    assert claims["exp"] == token.expires_on == claims["iat"] + 3600


async def test_without_a_client_id_the_first_identity_answers(endpoint: str) -> None:
    async with ManagedIdentityCredential() as credential:
        token = await credential.get_token(SCOPE)
    assert jwt.decode(token.token, KEY, algorithms=["HS256"], audience=AUDIENCE)["appid"] == "first"


async def test_an_identity_that_is_not_assigned_is_refused(endpoint: str) -> None:
    async with ManagedIdentityCredential(client_id="third") as credential:
        with pytest.raises(ClientAuthenticationError, match="No managed identity has this client_id"):
            await credential.get_token(SCOPE)


@pytest.mark.parametrize(
    ("query", "header", "status"),
    [
        ({"api-version": "2019-08-01", "resource": AUDIENCE}, "wrong", 401),
        ({"api-version": "2017-09-01", "resource": AUDIENCE}, HEADER, 400),
        ({"api-version": "2019-08-01"}, HEADER, 400),
        ({"resource": AUDIENCE}, HEADER, 400),
    ],
)
async def test_a_malformed_request_is_refused_with_a_reason(
    endpoint: str, query: dict[str, str], header: str, status: int
) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.get(endpoint, params=query, headers={"X-IDENTITY-HEADER": header})
    assert response.status_code == status
    assert response.json()["message"]
    assert HEADER not in response.text


async def test_a_configured_lifetime_is_the_tokens_lifetime() -> None:
    app = create_app(config(lifetime_seconds=50))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://identity") as client:
        answer = await client.get(
            "/msi/token",
            params={"api-version": "2019-08-01", "resource": AUDIENCE},
            headers={"X-IDENTITY-HEADER": HEADER},
        )
    claims = jwt.decode(answer.json()["access_token"], KEY, algorithms=["HS256"], audience=AUDIENCE)
    assert claims["exp"] - claims["iat"] == 50


def test_a_minted_token_names_the_resource_without_its_slash() -> None:
    token = mint_token(KEY, resource=f"{AUDIENCE}/", client_id="tool", lifetime=timedelta(minutes=1))
    claims = jwt.decode(token, KEY, algorithms=["HS256"], audience=AUDIENCE)
    assert claims["appid"] == "tool"
    assert {"aud", "oid", "tid", "exp", "iat"} <= set(claims)


def test_the_configuration_does_not_show_its_secrets() -> None:
    assert KEY not in repr(config())
    assert HEADER not in repr(config())
