"""Access tokens: JWTs under one symmetric key that the issuer and the Dataverse emulator share."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import jwt

DEFAULT_TENANT = UUID("5f0c1f0e-9a55-4a3d-8f60-0f8a3e1f6b10")
_OBJECT_IDS = UUID("b0a6c2a4-31d8-4a5f-8a0e-9d1f5f0d6c21")


def mint_token(
    key: str,
    *,
    resource: str,
    client_id: str,
    lifetime: timedelta = timedelta(hours=1),
    tenant_id: str = str(DEFAULT_TENANT),
    object_id: str | None = None,
    now: datetime | None = None,
) -> str:
    """Sign a version 1 access token for `client_id`; the audience is `resource` without its trailing slash.

    `now` is the time of issue (default: the wall clock); `object_id` derives from the client id if absent.
    """
    issued = now or datetime.now(UTC)
    claims = {
        "aud": resource.rstrip("/"),
        "iss": f"https://sts.windows.net/{tenant_id}/",
        "iat": int(issued.timestamp()),
        "nbf": int(issued.timestamp()),
        "exp": int((issued + lifetime).timestamp()),
        "appid": client_id,
        "oid": object_id or object_id_of(client_id),
        "tid": tenant_id,
        "ver": "1.0",
    }
    return jwt.encode(claims, key, algorithm="HS256")


def object_id_of(client_id: str) -> str:
    """Give the service principal's object id: stable for a client id, and different from it."""
    return str(uuid5(_OBJECT_IDS, client_id))
