"""What happened in a run, line by line; its hash tells whether two runs were the same."""

import hashlib
from collections.abc import Callable


class Trace:
    """Lines with their virtual time. They hold nothing random that the seed does not decide."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self.lines: list[str] = []

    def __call__(self, who: str, what: str) -> None:
        """Add a line."""
        self.lines.append(f"{self._seconds():12.3f}  {who:<9} {what}")

    @property
    def digest(self) -> str:
        """SHA-256 of all lines."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()
