from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from .context import traced


def traceparent(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Django middleware: messages written while a request is served carry its `traceparent`."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        with traced(request.headers.get("traceparent", "")):
            return get_response(request)

    return middleware
