"""How many rows go into one request."""

from math import ceil
from typing import Final

FIRST_CHUNK: Final = 250
SMALLEST_CHUNK: Final = 10
LARGEST_CHUNK: Final = 1000
AIM_SECONDS: Final = 10.0
LEAST_SHARE: Final = 50
"""Rows: a smaller request is mostly its own overhead."""


def share(rows: int, parallel: int) -> int:
    """The size of each part where rows are written by so many requests at a time.

    Examples:
        500 rows by 8 requests: 63 in each. 100 rows by 8: 50 in each of two.
    """
    return max(LEAST_SHARE, ceil(rows / parallel))


class ChunkSize:
    """The most rows in one request, adapting so that a request takes about ten seconds."""

    def __init__(self) -> None:
        self.rows = FIRST_CHUNK

    def took(self, rows: int, seconds: float) -> None:
        """Learn from a request that was answered."""
        if seconds > AIM_SECONDS:
            self.rows = max(SMALLEST_CHUNK, min(self.rows, int(rows * AIM_SECONDS / seconds)))
        elif rows >= self.rows and seconds < AIM_SECONDS / 2:
            self.rows = min(self.rows * 2, LARGEST_CHUNK)

    def failed(self, rows: int) -> None:
        """Learn from a request that was too much, or came to nothing."""
        self.rows = max(SMALLEST_CHUNK, min(self.rows, rows // 2))
