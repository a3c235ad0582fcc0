"""Calls the webhook as the worker does, and signs as senders do."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import azure.functions as func

from functions.webhook import webhook
from tests.fakes import SECRET

KEY_HEADER = "x-webhook-key"


def sign(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"X-MS-SIGNATURE": sign(body, secret)}


def keyed(secret: str = SECRET) -> dict[str, str]:
    return {KEY_HEADER: secret}


async def call(
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    params: Mapping[str, str] | None = None,
    method: str = "POST",
) -> func.HttpResponse:
    """The answer, which is JSON whatever was asked."""
    request = func.HttpRequest(
        method, "http://localhost/api/dynamics/webhook", headers=headers or {}, params=params or {}, body=body
    )
    response: func.HttpResponse = await webhook(request)
    assert response.mimetype == "application/json"
    assert isinstance(content(response), dict)
    return response


def content(response: func.HttpResponse) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(response.get_body())
    return found


def outcome(response: func.HttpResponse) -> tuple[HTTPStatus, dict[str, Any]]:
    return HTTPStatus(response.status_code), content(response)
