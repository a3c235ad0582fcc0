"""The token endpoint of the customer's document, with Entra's errors."""

from collections.abc import AsyncIterator

import httpx
import jwt
import pytest

from local.emulators.identity import IdentityConfig, create_app

KEY = "a-signing-key-of-at-least-32-characters"
TENANT = "11111111-2222-3333-4444-555555555555"
GOOD = {
    "grant_type": "client_credentials",
    "client_id": "app",
    "client_secret": "s3cret/+=",
    "scope": "https://org.crm.dynamics.com/.default",
}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    config = IdentityConfig.model_validate(
        {
            "signing_key": KEY,
            "identity_header": "header",
            "tenant_id": TENANT,
            "applications": [{"client_id": "app", "client_secret": GOOD["client_secret"]}],
            "resources": ["https://org.crm.dynamics.com/"],
        }
    )
    transport = httpx.ASGITransport(create_app(config))
    async with httpx.AsyncClient(transport=transport, base_url="http://login") as client:
        yield client


async def test_a_right_secret_gets_a_token(client: httpx.AsyncClient) -> None:
    response = await client.post(f"/{TENANT}/oauth2/v2.0/token", data=GOOD)
    body = response.json()
    claims = jwt.decode(body["access_token"], KEY, algorithms=["HS256"], audience="https://org.crm.dynamics.com")
    assert (response.status_code, body["token_type"], body["expires_in"]) == (200, "Bearer", 3600)
    assert (claims["appid"], claims["tid"]) == ("app", TENANT)


@pytest.mark.parametrize(
    ("changes", "status", "error", "number"),
    [
        ({"client_id": "nobody"}, 400, "unauthorized_client", 700016),
        ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ({"client_secret": ""}, 401, "invalid_client", 7000216),
        ({"scope": "https://org.crm.dynamics.com/user_impersonation"}, 400, "invalid_scope", 1002012),
        ({"scope": ""}, 400, "invalid_request", 900144),
        ({"scope": "https://other.crm.dynamics.com/.default"}, 400, "invalid_resource", 500011),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
        ({"grant_type": ""}, 400, "invalid_request", 900144),
    ],
)
async def test_a_wrong_request_gets_entras_error(
    client: httpx.AsyncClient, changes: dict[str, str], status: int, error: str, number: int
) -> None:
    response = await client.post(f"/{TENANT}/oauth2/v2.0/token", data=GOOD | changes)
    body = response.json()
    assert (response.status_code, body["error"], body["error_codes"]) == (status, error, [number])
    assert body["error_description"].startswith(f"AADSTS{number}: ")
    assert GOOD["client_secret"] not in response.text


async def test_another_tenant_is_unknown(client: httpx.AsyncClient) -> None:
    response = await client.post("/common/oauth2/v2.0/token", data=GOOD)
    assert (response.status_code, response.json()["error_codes"]) == (400, [90002])


async def test_a_form_that_is_no_text_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post(f"/{TENANT}/oauth2/v2.0/token", content=b"\xff\xfe=1")
    assert response.status_code == 400
