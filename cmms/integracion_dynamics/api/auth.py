from __future__ import annotations

import hmac
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation.trans_real import parse_accept_lang_header

from integracion_dynamics.config import current

from .errors import ApiError


def authenticate(request: HttpRequest) -> None:
    """Require `Authorization: Bearer` with one of the configured tokens, compared in constant time.

    Raises:
        ApiError: 401, the same whatever was wrong.
    """
    scheme, _space, given = request.headers.get("Authorization", "").partition(" ")
    presented = given.strip().encode("utf-8", "surrogateescape")
    # Every token is compared, so that the time does not tell which one was close.
    matches = [hmac.compare_digest(presented, token.encode()) for token in current().tokens]
    if scheme.lower() != "bearer" or not any(matches):
        raise ApiError(
            401,
            "no_autorizado",
            _("Send the header 'Authorization: Bearer <token>' with a token of INTEGRACION_DYNAMICS['TOKENS']."),
            headers={"WWW-Authenticate": 'Bearer realm="integracion"'},
        )


def act_as_service_user(request: HttpRequest) -> None:
    """Let the request be SERVICE_USER's, where one is set: audit trails ask the request who acts.

    Raises:
        ImproperlyConfigured: no such user.
    """
    name = current().service_user
    if not name:
        return
    users: Any = get_user_model()
    user = users._default_manager.filter(**{users.USERNAME_FIELD: name}).first()  # noqa: SLF001 - Django's documented model API
    if user is None:
        raise ImproperlyConfigured(
            _("%(where)s names no user: %(name)r.") % {"where": "INTEGRACION_DYNAMICS['SERVICE_USER']", "name": name}
        )
    request.user = user


def language(request: HttpRequest) -> str:
    """Spanish for callers that prefer it, else English: the functions' operators read that."""
    wanted = parse_accept_lang_header(request.headers.get("Accept-Language", "")[:200])
    return next((code for tag, _quality in wanted if (code := tag[:2]) in {"en", "es"}), "en")
