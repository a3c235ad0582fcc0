"""An operator says what was restored, on one of the machines, and once more where the command did not end."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from shared.domain.link import Restored
from shared.errors import SyncError
from tests.simulation.conditions import Conditions
from tests.simulation.edits import across
from tests.simulation.history import History
from tests.simulation.observe import Observer
from tests.simulation.trace import Trace
from tests.simulation.worker import Worker

MOST_TRIES: Final = 4


class RestoredCommand:
    """`ops restored`, and what the checker is to know of it. `rest` waits until nothing is under way."""

    def __init__(
        self,
        workers: Sequence[Worker],
        conditions: Conditions,
        history: History,
        observer: Observer,
        trace: Trace,
        *,
        rest: Callable[[], Awaitable[None]],
    ) -> None:
        self._workers = workers
        self._conditions = conditions
        self._history = history
        self._observer = observer
        self._trace = trace
        self._rest = rest

    async def say(self, side: Restored) -> bool:
        """Run `ops restored`; gives whether it came to its end."""
        at = self._conditions.said[side]
        self._history.all_anew |= side == "ledger"
        if side != "ledger":
            self._history.counting.add(across(side))
            # A row that a person deleted after the restore is told from none that it took away: the preview names both.
            deleted = self._observer.removed.keys() if side == "dynamics" else set()
            self._observer.may_be_made_again(self._conditions.vanished["dynamics"] | deleted)
        alive = [worker for worker in self._workers if not worker.process.dead.is_set()]
        with suppress(SyncError, asyncio.CancelledError):
            await alive[0].restored(side, at) if alive else None
            self._trace("operator", f"says that {side} was restored")
            if alive and side != "ledger":
                self._conditions.told[side].clear()
                self._history.said_at[side] = asyncio.get_running_loop().time()
            return bool(alive)
        return False

    async def end(self) -> None:
        """End what was begun: a command may have been interrupted, or found records that were being written."""
        for side in self._conditions.said:
            for _ in range(MOST_TRIES):
                if await self.say(side):
                    break
                await asyncio.sleep(60.0)  # until a worker has been started anew
            await self._rest()
