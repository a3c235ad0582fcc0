"""The two endpoints over HTTP.

Protocols: https://learn.microsoft.com/azure/app-service/overview-managed-identity and
https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs
from uuid import uuid4

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.emulators.identity.config import IdentityConfig
from local.emulators.identity.entra_errors import EntraError
from local.emulators.identity.tokens import mint_token, object_id_of

_API_VERSION = "2019-08-01"
_DEFAULT_SCOPE = "/.default"


def _wall_clock() -> datetime:
    return datetime.now(UTC)


def create_app(config: IdentityConfig, *, clock: Callable[[], datetime] = _wall_clock) -> Starlette:
    """Build the ASGI application: `GET /msi/token` and `POST /{tenant}/oauth2/v2.0/token`."""
    issuer = _Issuer(config, clock)
    return Starlette(
        routes=[
            Route("/msi/token", issuer.managed_identity, methods=["GET"]),
            Route("/{tenant}/oauth2/v2.0/token", issuer.client_credentials, methods=["POST"]),
        ]
    )


class _Issuer:
    def __init__(self, config: IdentityConfig, clock: Callable[[], datetime]) -> None:
        self._config = config
        self._clock = clock

    async def managed_identity(self, request: Request) -> Response:
        query = request.query_params
        expected = self._config.identity_header.get_secret_value()
        if not hmac.compare_digest(request.headers.get("x-identity-header", "").encode(), expected.encode()):
            return _refuse(
                401, "The X-IDENTITY-HEADER header is missing or does not hold the value of IDENTITY_HEADER."
            )
        if query.get("api-version") != _API_VERSION:
            return _refuse(400, f"The api-version parameter must be {_API_VERSION}.")
        resource = query.get("resource", "")
        if not resource:
            return _refuse(400, "The resource parameter is missing: it names the service that the token is for.")
        if not self._known(resource):
            return _refuse(400, f"The resource {resource} is not known in this tenant.")
        wanted = query.get("client_id")
        identities = self._config.managed_identities
        found = next((one for one in identities if wanted in {None, one.client_id}), None)
        if found is None:
            return _refuse(
                400,
                "No managed identity has this client_id: check it against the configuration.",
            )
        token, expires = self._mint(resource, found.client_id, found.object_id)
        return JSONResponse(
            {
                "access_token": token,
                "expires_on": str(expires),
                "resource": resource,
                "token_type": "Bearer",
                "client_id": found.client_id,
            }
        )

    async def client_credentials(self, request: Request) -> Response:
        try:
            form = parse_qs((await request.body()).decode(), keep_blank_values=True)
            values = {name: found[-1] for name, found in form.items()}
            return self._client_credentials(request.path_params["tenant"], values)
        except UnicodeDecodeError:
            return EntraError.malformed().response(self._clock(), str(uuid4()))
        except EntraError as error:
            return error.response(self._clock(), str(uuid4()))

    def _client_credentials(self, tenant: str, form: dict[str, str]) -> Response:
        if tenant.lower() != self._config.tenant_id.lower():
            raise EntraError.unknown_tenant(tenant)
        for name in ("grant_type", "client_id", "scope"):
            if not form.get(name):
                raise EntraError.missing_parameter(name)
        if form["grant_type"] != "client_credentials":
            raise EntraError.unsupported_grant(form["grant_type"])
        client_id = form["client_id"]
        application = next((one for one in self._config.applications if one.client_id == client_id), None)
        if application is None:
            raise EntraError.unknown_client(client_id)
        if not form.get("client_secret"):
            raise EntraError.missing_secret()
        if not hmac.compare_digest(
            form["client_secret"].encode(), application.client_secret.get_secret_value().encode()
        ):
            raise EntraError.wrong_secret(client_id)
        scope = form["scope"]
        resource = scope.removesuffix(_DEFAULT_SCOPE)
        if resource == scope or not resource or " " in scope:
            raise EntraError.bad_scope(scope)
        if not self._known(resource):
            raise EntraError.unknown_resource(resource)
        token, _expires = self._mint(resource, client_id, None)
        seconds = self._config.lifetime_seconds
        return JSONResponse(
            {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token},
            headers={"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"},
        )

    def _known(self, resource: str) -> bool:
        known = self._config.resources
        return not known or resource.rstrip("/") in {one.rstrip("/") for one in known}

    def _mint(self, resource: str, client_id: str, object_id: str | None) -> tuple[str, int]:
        now = self._clock()
        lifetime = timedelta(seconds=self._config.lifetime_seconds)
        token = mint_token(
            self._config.signing_key.get_secret_value(),
            resource=resource,
            client_id=client_id,
            lifetime=lifetime,
            tenant_id=self._config.tenant_id,
            object_id=object_id or object_id_of(client_id),
            now=now,
        )
        return token, int((now + lifetime).timestamp())


def _refuse(status: int, message: str) -> JSONResponse:
    return JSONResponse({"statusCode": status, "message": message}, status_code=status)
