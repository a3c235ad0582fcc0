"""Who is calling: the bearer token's checks, and the application user behind it."""

from collections.abc import Callable, Iterable
from datetime import datetime

import jwt

from local.emulators.dataverse.errors import Refusal
from local.emulators.dataverse.organization import Dataverse
from local.emulators.dataverse.users import SystemUser
from local.emulators.dataverse.wire.messages import ODataResponse


class NotAuthenticatedError(Exception):
    """No token, or one that does not hold; the message says why, without the token."""

    def response(self, audience: str) -> ODataResponse:
        """Make the answer 401: an empty body, and a challenge that names the authority and the resource."""
        challenge = (
            "Bearer authorization_uri=https://login.microsoftonline.com/common/oauth2/authorize, "
            f'resource_id={audience}/, error="invalid_token", error_description="{self}"'
        )
        return ODataResponse(401, {"WWW-Authenticate": challenge})


class Authenticator:
    """Checks signature, audience and expiry of tokens, the expiry against the organisation's clock."""

    def __init__(self, dataverse: Dataverse, *, signing_key: str, audiences: Iterable[str]) -> None:
        self._dataverse = dataverse
        self._key = signing_key
        self.audiences = tuple(one.rstrip("/") for one in audiences)

    def user_of(self, authorization: str | None) -> SystemUser:
        """Find the caller.

        Raises:
            NotAuthenticatedError: answered as 401.
            DataverseError: ANONYMOUS_USER or DISABLED_USER, answered as 403.

        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotAuthenticatedError("The Authorization header holds no bearer token")
        claims = self._claims(token.strip(), self._dataverse.clock)
        user = self._dataverse.users.get(str(claims.get("appid", "")).lower())
        if user is None:
            raise Refusal.ANONYMOUS_USER()  # noqa: RSE102 - a call that makes the exception, not a class
        if user.disabled:
            raise Refusal.DISABLED_USER(user=user.id)
        return user

    def _claims(self, token: str, clock: Callable[[], datetime]) -> dict[str, object]:
        try:
            claims: dict[str, object] = jwt.decode(
                token,
                self._key,
                algorithms=["HS256"],
                audience=list(self.audiences),
                # Times are checked below, against the injected clock.
                options={
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "require": ["exp", "aud", "appid"],
                },
            )
        except jwt.InvalidAudienceError:
            raise NotAuthenticatedError("The audience of the token is not this resource") from None
        except jwt.InvalidSignatureError:
            raise NotAuthenticatedError("The signature of the token is not valid") from None
        except jwt.PyJWTError as error:
            raise NotAuthenticatedError(f"The token cannot be read ({type(error).__name__})") from None
        expires = claims["exp"]
        if not isinstance(expires, int) or clock().timestamp() >= expires:
            raise NotAuthenticatedError("The token has expired")
        return claims
