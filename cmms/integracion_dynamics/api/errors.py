"""What the API answers instead of a result.

Every error has the body `{"error": {"codigo", "mensaje", "campo"?}, "registro"?}`; `registro` is the record
as it stands, so that a caller who lost a race need not read again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _


class ApiError(Exception):
    """An answer with an error status; `mensaje` says what was wrong and what to do."""

    def __init__(
        self,
        status: int,
        codigo: str,
        mensaje: str,
        *,
        campo: str | None = None,
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
        error = {"codigo": self.codigo, "mensaje": str(self), **({} if self.campo is None else {"campo": self.campo})}
        return {"error": error, **({"registro": self.registro} if self.registro is not None else {})}


def malformed(mensaje: str) -> ApiError:
    """400: the request cannot be read."""
    return ApiError(400, "peticion_malformada", mensaje)


def invalid_parameter(name: str, mensaje: str) -> ApiError:
    """400: one query parameter cannot be used."""
    message = _("Parameter %(name)s: %(message)s") % {"name": name, "message": mensaje}
    return ApiError(400, "parametro_invalido", message, campo=name)


def invalid_field(name: str, mensaje: str) -> ApiError:
    """422: one field of the record is refused."""
    message = _("Field %(name)s: %(message)s") % {"name": name, "message": mensaje}
    return ApiError(422, "campo_invalido", message, campo=name)


def not_found(mensaje: str) -> ApiError:
    """404: no such entity or record."""
    return ApiError(404, "no_encontrado", mensaje)


def busy() -> ApiError:
    """503: the database is locked, read-only or away."""
    message = _("The CMMS's database is busy or away: try again.")
    return ApiError(503, "base_no_disponible", message, headers={"Retry-After": "5"})


def misconfigured() -> ApiError:
    """503: nothing can be done before somebody repairs the setting; no record is at fault."""
    message = _("The CMMS's setting INTEGRACION_DYNAMICS is faulty: 'manage.py check' on its host says where.")
    return ApiError(503, "mal_configurado", message, headers={"Retry-After": "60"})


def failed() -> ApiError:
    """500: a fault of the API itself, whose trace is in the host's log."""
    message = _("The CMMS failed to answer; its log has the reason.")
    return ApiError(500, "error_interno", message)
