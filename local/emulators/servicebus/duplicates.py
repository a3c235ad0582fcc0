"""Duplicate detection: which message ids were sent in the last while."""

from datetime import datetime, timedelta


class RecentIds:
    """Remembers each message id for `window`; with None nothing is remembered."""

    def __init__(self, window: timedelta | None) -> None:
        self._window = window
        self._seen: dict[str, tuple[datetime, int]] = {}  # oldest first

    def __len__(self) -> int:
        """How many ids are remembered."""
        return len(self._seen)

    def number_of(self, message_id: str | None, now: datetime) -> int | None:
        """The sequence number that the id was given within the window; None if it is new."""
        if self._window is None or message_id is None:
            return None
        while self._seen:
            oldest = next(iter(self._seen))
            if self._seen[oldest][0] + self._window > now:
                break
            del self._seen[oldest]
        known = self._seen.get(message_id)
        return known[1] if known else None

    def add(self, message_id: str | None, number: int, now: datetime) -> None:
        """Remember an id."""
        if self._window is not None and message_id is not None:
            self._seen[message_id] = (now, number)
