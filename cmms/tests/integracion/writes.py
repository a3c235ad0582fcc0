"""Writes by the API, as the functions send them."""

from __future__ import annotations

from typing import Any

from django.test import Client

from .helpers import address_of


def etag(api: Client, key: str = "0001") -> str:
    return str(api.get(address_of(key))["ETag"])


def patch(api: Client, fields: Any, *, if_match: str | None = None, key: str = "0001", operation: str = "") -> Any:
    headers = {"If-Match": etag(api, key) if if_match is None else if_match} | named(operation)
    return api.patch(address_of(key), {"campos": fields}, content_type="application/json", headers=headers)


def named(operation: str) -> dict[str, str]:
    return {"Operation-Id": operation} if operation else {}


def create(api: Client, fields: Any, entity: str = "activos", operation: str = "") -> Any:
    address, headers = f"/integracion/{entity}/", named(operation)
    return api.post(address, {"campos": fields}, content_type="application/json", headers=headers)


def operations(api: Client, key: str = "0001") -> Any:
    return api.get(address_of(key)).json()["operaciones"]
