"""The arguments of a request to a `$management` node, each read as what it must be."""

from datetime import datetime
from typing import Any
from uuid import UUID

from local.emulators.servicebus.amqp.message import Message
from local.emulators.servicebus.amqp.values import Timestamp


class BadArgumentError(ValueError):
    """An argument is missing, or of another type; the sentence names it."""


class Arguments:
    """The map that a request's body holds."""

    def __init__(self, request: Message) -> None:
        """Read the body.

        Raises:
            CodecError: it is no AMQP value.
            BadArgumentError: it is no map.
        """
        values = request.value()
        if not isinstance(values, dict):
            raise BadArgumentError("The request's body must be a map.")
        self._values: dict[Any, Any] = values

    def get(self, name: str) -> Any:
        """The value as it came; None if it is absent."""
        return self._values.get(name)

    def number(self, name: str) -> int:
        """A whole number; raises BadArgumentError."""
        value = self._values.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadArgumentError(f"{name!r} must be a whole number.")
        return int(value)

    def instant(self, name: str) -> datetime:
        """A point in time; raises BadArgumentError."""
        try:
            return Timestamp(self.number(name)).instant()
        except OverflowError as error:
            raise BadArgumentError(f"{name!r} lies outside of the calendar.") from error

    def numbers(self, name: str) -> list[int]:
        """An array of whole numbers; raises BadArgumentError."""
        values = self._values.get(name)
        if not isinstance(values, list) or not all(isinstance(each, int) for each in values):
            raise BadArgumentError(f"{name!r} must be an array of whole numbers.")
        return [int(each) for each in values]

    def lock_tokens(self) -> list[UUID]:
        """The locks that the request is about; raises BadArgumentError."""
        values = self._values.get("lock-tokens")
        if not isinstance(values, list) or not all(isinstance(each, UUID) for each in values):
            raise BadArgumentError("'lock-tokens' must be an array of UUIDs.")
        return values

    def text(self, name: str) -> str | None:
        """A text; None if it is absent or something else."""
        value = self._values.get(name)
        return value if isinstance(value, str) else None

    def session_id(self) -> str:
        """The session that the request is about; raises BadArgumentError."""
        session_id = self.text("session-id")
        if session_id is None:
            raise BadArgumentError("'session-id' must be text.")
        return session_id

    def changes(self) -> dict[str, Any]:
        """The application properties that a settlement changes."""
        changes = self._values.get("properties-to-modify")
        return {str(key): value for key, value in changes.items()} if isinstance(changes, dict) else {}
