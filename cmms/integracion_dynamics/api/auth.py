from __future__ import annotations

import hmac

from django.http import HttpRequest

from integracion_dynamics.config import current

from .errors import ApiError


def authenticate(request: HttpRequest) -> None:
    """Require `Authorization: Bearer` with one of the configured tokens, compared in constant time.

    Raises:
        ApiError: 401, the same whatever was wrong.
    """
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    presented = given.strip().encode("utf-8", "surrogateescape")
    # Every token is compared, so that the time does not tell which one was close.
    matches = [hmac.compare_digest(presented, token.encode()) for token in current().tokens]
    if scheme.lower() != "bearer" or not any(matches):
        raise ApiError(
            401,
            "no_autorizado",
            "Send the header 'Authorization: Bearer <token>' with a token of INTEGRACION_DYNAMICS['TOKENS'].",
            headers={"WWW-Authenticate": 'Bearer realm="integracion"'},
        )
