"""What several processes of a host do at once."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.test import Client

from integracion_dynamics.database import database_now

from .conftest import TOKEN

LONG_AGO = "2000-01-01T00:00:00Z"


def now() -> str:
    """The clock by which lists of changes tell their positions."""
    return database_now("default").isoformat()


def execute(statement: str) -> Any:
    """The first row of a statement's result, or None."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone() if cursor.description else None


def client() -> Client:
    return Client(headers={"Authorization": f"Bearer {TOKEN}"})


def create(key: str, operation: str, name: str = "x") -> tuple[int, Any]:
    answer = client().post(
        "/integracion/activos/",
        {"campos": {"codigo_interno": key, "nombre": name}},
        content_type="application/json",
        headers={"Operation-Id": operation},
    )
    return answer.status_code, answer.json()


def patch(address: str, name: str, etag: str = "*") -> tuple[int, Any]:
    answer = client().patch(
        address, {"campos": {"nombre": name}}, content_type="application/json", headers={"If-Match": etag}
    )
    return answer.status_code, answer.json()


def changes(since: str, limit: int = 500) -> list[str]:
    """The ids in a list of changes, page by page."""
    ids: list[str] = []
    query: dict[str, Any] = {"modificado_desde": since, "limite": limit}
    while True:
        answer = client().get("/integracion/activos/", query).json()
        ids += [record["id"] for record in answer["resultados"]]
        if answer["siguiente"] is None:
            return ids
        query["cursor"] = answer["siguiente"]
