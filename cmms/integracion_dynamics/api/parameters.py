"""The query parameters and headers that requests carry. What cannot be used is 400, and named."""

from __future__ import annotations

import re

from django.core.exceptions import TooManyFieldsSent
from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext as _

from integracion_dynamics.config import current

from .errors import invalid_parameter

MAX_IN_ADDRESS = 500
WHOLE = re.compile(r"[1-9]\d{0,8}", re.ASCII)
_OPERATION = re.compile(r"[!-~]{1,100}")


def read_query(request: HttpRequest) -> QueryDict:
    """The parameters of a list, which are of one kind of list only."""
    try:
        query = request.GET
    except TooManyFieldsSent:
        raise invalid_parameter("id", _("too many parameters; POST long lists to consulta/.")) from None
    known = {"clave", "cursor", "id", "limite", "modificado_desde"}
    if unknown := query.keys() - known:
        message = _("is not known; known are: %(known)s.") % {"known": ", ".join(sorted(known))}
        raise invalid_parameter(min(unknown)[:50], message)
    for kind in ("id", "clave"):
        if kind in query and (beside := sorted(query.keys() - {kind, "limite"})):
            message = _("does not go together with %(name)s.") % {"name": kind}
            raise invalid_parameter(beside[0], message)
    return query


def asked(query: QueryDict, name: str) -> list[str]:
    """The ids or keys that are asked for."""
    values: list[str] = query.getlist(name)
    if len(values) > MAX_IN_ADDRESS:
        message = _("at most %(most)d; POST longer lists to consulta/.") % {"most": MAX_IN_ADDRESS}
        raise invalid_parameter(name, message)
    return values


def operation_id(request: HttpRequest) -> str:
    """The caller's name for its write, or an empty text."""
    name: str = request.headers.get("Operation-Id", "")
    if name and not _OPERATION.fullmatch(name):
        raise invalid_parameter("Operation-Id", _("use up to 100 visible ASCII characters."))
    return name


def page_limit(query: QueryDict) -> int:
    """How many records a page may hold."""
    longest = current().page_limit
    given = query.get("limite", str(longest))
    if not WHOLE.fullmatch(given):
        message = _("use a whole number from 1; pages hold at most %(most)d.") % {"most": longest}
        raise invalid_parameter("limite", message)
    return min(int(given), longest)
