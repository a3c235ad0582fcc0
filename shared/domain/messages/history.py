"""The failures of a message's earlier lives, as they travel with it: a JSON list, the oldest first."""

from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from shared.domain.jsontext import JsonError, loads

_FAILURES: Final = TypeAdapter(list[dict[str, Any]])


def read_history(text: str | None) -> list[dict[str, Any]]:
    """The failures in a message's attribute; empty for anything that is not such a list, whoever wrote it."""
    try:
        return _FAILURES.validate_python(loads(text or "[]"))
    except (JsonError, ValidationError):
        return []
