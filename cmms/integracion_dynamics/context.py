"""Who acts, and in which trace: what the outbox writes beside a change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_by_integration: ContextVar[bool] = ContextVar("integracion_dynamics_by_integration", default=False)
_unannounced: ContextVar[bool] = ContextVar("integracion_dynamics_unannounced", default=False)
_traceparent: ContextVar[str] = ContextVar("integracion_dynamics_traceparent", default="")
# https://www.w3.org/TR/trace-context/#traceparent-header; ids of only zeros are invalid there.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@contextmanager
def acting_as_integration() -> Iterator[None]:
    """Changes made inside are marked as the integration's, not a person's."""
    token = _by_integration.set(True)
    try:
        yield
    finally:
        _by_integration.reset(token)


@contextmanager
def unannounced() -> Iterator[None]:
    """Saves and deletes inside write no message: for a loop of them, announced afterwards by `registrar_cambios`.

    What is not announced then either is found by the integration's full comparison, or by `manage.py anunciar`.
    """
    token = _unannounced.set(True)
    try:
        yield
    finally:
        _unannounced.reset(token)


@contextmanager
def traced(traceparent: str) -> Iterator[None]:
    """Messages written inside carry this W3C traceparent; a malformed one is ignored, as W3C asks."""
    token = _traceparent.set(traceparent if _TRACEPARENT.fullmatch(traceparent) else "")
    try:
        yield
    finally:
        _traceparent.reset(token)


def by_integration() -> bool:
    """Whether the integration acts."""
    return _by_integration.get()


def is_unannounced() -> bool:
    """Whether saves and deletes write no message now."""
    return _unannounced.get()


def traceparent() -> str:
    """The current trace, or an empty text."""
    return _traceparent.get()
