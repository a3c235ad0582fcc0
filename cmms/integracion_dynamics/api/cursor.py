"""Opaque positions in a list: URL-safe base64 of JSON, with the kind of list inside."""

from __future__ import annotations

import base64
import json
from typing import Any

from django.utils.translation import gettext as _

from .errors import ApiError, invalid_parameter


def encode(kind: str, *position: str | int) -> str:
    """A cursor that continues after this position."""
    return base64.urlsafe_b64encode(json.dumps([kind, *position]).encode()).decode().rstrip("=")


def decode(cursor: str, kind: str, *types: type) -> list[Any]:
    """The position inside a cursor of the same kind of list.

    Raises:
        ApiError: 400, not a cursor or one of another list.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found_kind, *position = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, TypeError, RecursionError):
        raise _refused() from None
    if found_kind != kind or [type(part) for part in position] != list(types):
        raise _refused()
    return list(position)


def _refused() -> ApiError:
    return invalid_parameter("cursor", _("use 'siguiente' of the page before, with the same other parameters."))
