"""Timer triggers."""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from local.emulators.functions_host.dispatcher import Dispatcher, InvocationFailed
from local.emulators.functions_host.functions import Function, TimerTrigger
from local.emulators.functions_host.protos import TypedData

_LOOK_SECONDS = 30.0  # the wall clock may jump, for example when the machine has slept
_LATE = timedelta(seconds=5)


class TimerListener:
    """Runs one timer function when it is due, never twice at a time; what falls due during a run is skipped.

    `IsPastDue` says that the run is late: the machine slept, or the host was stalled. There is no memory of
    runs before this process.
    """

    def __init__(self, function: Function, dispatcher: Dispatcher) -> None:
        if not isinstance(function.trigger, TimerTrigger):
            raise TypeError(function.trigger)
        self._function = function
        self._trigger = function.trigger
        self._dispatcher = dispatcher
        self._last: datetime | None = None
        self._due = self._trigger.schedule.after(datetime.now(UTC))
        self._stopping = asyncio.Event()
        self._single = asyncio.Lock()

    def stop(self) -> None:
        """Start no further run."""
        self._stopping.set()

    async def run(self) -> None:
        """Keep the schedule until stopped."""
        if self._trigger.run_on_startup:
            await self.fire("the host has started")
        while not self._stopping.is_set():
            self._due = self._trigger.schedule.after(datetime.now(UTC))
            if await self._wait_until_due():
                late = datetime.now(UTC) - self._due > _LATE
                await self.fire(f"due at {self._due:%Y-%m-%dT%H:%M:%SZ}", past_due=late)

    async def fire(self, reason: str, *, past_due: bool = False) -> None:
        """Run the function now, after a run that is under way."""
        async with self._single:
            if self._stopping.is_set():
                return
            started = datetime.now(UTC)
            request = {
                "IsPastDue": past_due,
                "Schedule": {"AdjustForDST": self._trigger.schedule.interval is None},
                "ScheduleStatus": {
                    "Last": self._last.isoformat() if self._last else "0001-01-01T00:00:00+00:00",
                    "Next": self._trigger.schedule.after(started).isoformat(),
                    "LastUpdated": (self._last or started).isoformat(),
                },
            }
            with suppress(InvocationFailed):  # it is in the log; a timer has nobody else to tell
                await self._dispatcher.invoke(
                    self._function, TypedData(json=json.dumps(request)), reason=f"timer, {reason}"
                )
            self._last = started

    async def _wait_until_due(self) -> bool:
        while (left := (self._due - datetime.now(UTC)).total_seconds()) > 0:
            try:
                await asyncio.wait_for(self._stopping.wait(), min(left, _LOOK_SECONDS))
            except TimeoutError:
                continue
            return False
        return not self._stopping.is_set()
