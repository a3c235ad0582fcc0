"""The time that one HTTP request takes by the model of costs."""

import asyncio


class Pace:
    """Lets a request's time pass, in as many pieces as it has rows.

    Each wait ends when all pieces so far are over, counted from when the request began. Else a `$batch` would be slower
    than one request for the same rows: a timer ends up to a millisecond late, and carrying out a row takes time itself.
    """

    def __init__(self) -> None:
        self._due = asyncio.get_running_loop().time()

    async def let_pass(self, seconds: float) -> None:
        """Wait until so many seconds more have passed; nothing is waited for where there are none."""
        if seconds > 0:
            self._due += seconds
            await asyncio.sleep(self._due - asyncio.get_running_loop().time())
