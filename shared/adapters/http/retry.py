"""Long work outlives short outages: one request that fails is made again, not all of them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from shared.errors import NotAuthorized, NotReady, TransientError

log = logging.getLogger(__name__)

ATTEMPTS: Final = 6
LONGEST_WAIT: Final = timedelta(minutes=2)


async def patiently[T](call: Callable[[], Awaitable[T]]) -> T:
    """Make a request again where that may help: a read, or a write that may happen twice.

    It waits for as long as the service asked, else for 1 s, doubling.

    Raises:
        TransientError: It still failed, or waiting would not help.
    """
    for attempt in range(ATTEMPTS):
        try:
            return await call()
        except (NotAuthorized, NotReady):
            raise
        except TransientError as error:
            wait = error.retry_after or timedelta(seconds=2**attempt)
            if attempt == ATTEMPTS - 1 or wait > LONGEST_WAIT:
                raise
            log.warning("A request is made again in %.0f s: %s", wait.total_seconds(), error.message)
            await asyncio.sleep(wait.total_seconds())
    raise AssertionError("the last attempt returns or raises")


async def on_its_way() -> None:
    """Let a request that was just begun reach its socket, by some turns of the loop, before this thread is busy."""
    for _ in range(20):
        await asyncio.sleep(0)
