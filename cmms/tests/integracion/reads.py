"""Lists of the API, as the functions read them."""

from __future__ import annotations

from typing import Any

from django.test import Client

LONG_AGO = "2000-01-01T00:00:00Z"


def read_all(api: Client, **parameters: Any) -> list[list[dict[str, Any]]]:
    """Every page of a list."""
    pages = []
    while True:
        answer = api.get("/integracion/activos/", parameters)
        assert answer.status_code == 200, answer.content
        pages.append(answer.json()["resultados"])
        if answer.json()["siguiente"] is None:
            return pages
        parameters["cursor"] = answer.json()["siguiente"]


def keys(pages: list[list[dict[str, Any]]]) -> list[str]:
    return [record["clave"] for page in pages for record in page]
