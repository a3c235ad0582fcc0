"""The failures of a message's earlier lives, as they travel with it: a JSON list, the oldest first."""

from collections.abc import Sequence
from typing import Any, Final

from shared.domain.jsontext import JsonError, dumps, loads

LONGEST: Final = 20
"""Entries: more would say nothing new and could outgrow the message."""


def read_history(text: str | None) -> list[dict[str, Any]]:
    """The failures in a message's attribute; empty for anything that is not such a list, whoever wrote it."""
    try:
        found = loads(text or "[]")
    except JsonError:
        return []
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def write_history(failures: Sequence[dict[str, Any]]) -> str:
    """The attribute's text: the newest failures, as many as are worth carrying."""
    return dumps(list(failures[-LONGEST:]))
