"""Reading a request's JSON body, whatever arrives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, UnreadablePostError
from django.utils.translation import gettext as _

from .errors import ApiError, malformed

MAX_BODY = 1024 * 1024


def read_object(request: HttpRequest, allowed: set[str]) -> dict[str, Any]:
    """The body as a JSON object with only the allowed members; its numbers never pass through float.

    Raises:
        ApiError: 413 over 1 MiB; 400 not UTF-8, not JSON, not an object, or with other members.
    """
    try:
        raw = request.read(MAX_BODY + 1)
    except RequestDataTooBig:
        raise _too_large() from None
    except UnreadablePostError:
        raise malformed(_("The body ended early: send it again.")) from None
    if len(raw) > MAX_BODY:
        raise _too_large()
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise malformed(_("The body is not UTF-8: encode it so.")) from None
    try:
        found = json.loads(text, parse_float=Decimal, parse_constant=_refuse, object_pairs_hook=_once)
    except (ValueError, ArithmeticError, RecursionError):
        raise malformed(_("The body is not JSON: send an object, each name once, and no NaN.")) from None
    if not isinstance(found, dict) or not found.keys() <= allowed:
        raise malformed(
            _("The body must be a JSON object with only: %(names)s.") % {"names": ", ".join(sorted(allowed))}
        )
    return found


def read_fields(request: HttpRequest) -> Mapping[str, Any]:
    """The body `{"campos": {name: value}}`.

    Raises:
        ApiError: as `read_object`, and 400 when `campos` is missing or no object.
    """
    fields = read_object(request, {"campos"}).get("campos")
    if not isinstance(fields, dict):
        raise malformed(_('The body must be {"campos": {"name": value}}.'))
    return fields


def _too_large() -> ApiError:
    message = _("The body is over %(most)d bytes: send fewer or shorter values.") % {"most": MAX_BODY}
    return ApiError(413, "demasiado_grande", message)


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice")
    return found
