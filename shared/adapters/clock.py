"""The machine's clocks."""

import asyncio
import time
from datetime import UTC, datetime


class SystemClock:
    """Wall-clock and monotonic time of this machine."""

    def now(self) -> datetime:
        """The current instant, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Let other work go on meanwhile."""
        await asyncio.sleep(seconds)
