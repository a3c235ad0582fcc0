"""How many rows go into one request."""

from typing import Final

FIRST_CHUNK: Final = 250
SMALLEST_CHUNK: Final = 10
LARGEST_CHUNK: Final = 1000
AIM_SECONDS: Final = 10.0


class ChunkSize:
    """Rows in one request, adapting so that a request takes about ten seconds."""

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
