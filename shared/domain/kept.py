"""What the ledger keeps of a pair, as immutable values with one form in JSON.

They are msgspec's and not pydantic's, which take several times as long to make, copy, write and read: a link has some
thirty of them. What is read is checked against its type; what the product makes is checked by mypy alone.
"""

from collections.abc import Mapping
from typing import Any, Self

import msgspec


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """An immutable value. Its JSON leaves out the members that have their defaults."""

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Read a value from JSON; members that are not known are skipped.

        Raises:
            msgspec.DecodeError: Not JSON, or not of this type.
        """
        return msgspec.json.decode(text, type=cls)

    def to_json(self) -> str:
        """The value as JSON."""
        return msgspec.json.encode(self).decode()

    @property
    def as_json(self) -> dict[str, Any]:
        """The same as what `json.loads` makes of it."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """The value with some members replaced; named as for pydantic's models, such as the messages."""
        return msgspec.structs.replace(self, **update)
