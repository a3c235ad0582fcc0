"""The failures of a message's earlier lives, as they travel with it: a JSON list, the oldest first."""

from typing import Any

from shared.domain.jsontext import JsonError, loads


def read_history(text: str | None) -> list[dict[str, Any]]:
    """The failures in a message's attribute; empty for anything that is not such a list, whoever wrote it."""
    try:
        found = loads(text or "[]")
    except JsonError:
        return []
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
