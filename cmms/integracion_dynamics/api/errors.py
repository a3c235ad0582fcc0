"""What the API answers instead of a result.

Every error has the body `{"error": {"codigo", "mensaje", "campo"?}, "registro"?}`; `registro` is the record
as it stands, so that a caller who lost a race need not read again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """An answer with an error status; `mensaje` says what was wrong and what to do."""

    def __init__(
        self,
        status: int,
        codigo: str,
        mensaje: str,
        *,
        campo: str = "",
        registro: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(mensaje)
        self.status = status
        self.codigo = codigo
        self.campo = campo
        self.registro = registro
        self.headers = dict(headers or {})

    def as_json(self) -> dict[str, Any]:
        """The answer's body."""
        error = {"codigo": self.codigo, "mensaje": str(self), **({"campo": self.campo} if self.campo else {})}
        return {"error": error, **({"registro": self.registro} if self.registro is not None else {})}


def malformed(mensaje: str) -> ApiError:
    """400: the request cannot be read."""
    return ApiError(400, "peticion_malformada", mensaje)


def invalid_parameter(name: str, mensaje: str) -> ApiError:
    """400: one query parameter cannot be used."""
    return ApiError(400, "parametro_invalido", f"Parameter {name}: {mensaje}", campo=name)


def invalid_field(name: str, mensaje: str) -> ApiError:
    """422: one field of the record is refused."""
    return ApiError(422, "campo_invalido", f"Field {name}: {mensaje}", campo=name)


def not_found(mensaje: str) -> ApiError:
    """404: no such entity or record."""
    return ApiError(404, "no_encontrado", mensaje)
